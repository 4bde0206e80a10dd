"""Classical models that were fitted in a moment: as skops files, and as ONNX models of the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import skops.io
from onnx import TensorProto, helper
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = np.array([[0.0, 1.0], [1.0, 0.5], [2.0, 0.0], [3.0, -1.0], [4.0, -2.0], [5.0, 1.5]])
LABELS = np.array(["ash", "ash", "ash", "oak", "oak", "oak"])


def classifier() -> BaseEstimator:
    """Two numbers to one of two trees."""
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)


def regressor() -> BaseEstimator:
    """Two numbers to a third."""
    return LinearRegression().fit(ROWS, ROWS[:, 0] * 2 + 1)


def write_skops(folder: Path, estimator: BaseEstimator) -> Path:
    """A folder with a skops file."""
    folder.mkdir(exist_ok=True)
    skops.io.dump(estimator, folder / "model.skops")
    return folder


def write_onnx(folder: Path, *, columns: bool = False) -> Path:
    """A logistic regression in ONNX's own operators: over a matrix, or over the columns `height` and `girth`."""
    folder.mkdir(exist_ok=True)
    model = LogisticRegression().fit(ROWS, LABELS)
    weights = np.concatenate([-model.coef_, model.coef_]).astype(np.float32).ravel().tolist()
    offsets = np.concatenate([-model.intercept_, model.intercept_]).astype(np.float32).tolist()
    rows = "joined" if columns else "rows"
    nodes = [
        helper.make_node(
            "LinearClassifier", [rows], ["label", "scores"], domain="ai.onnx.ml", coefficients=weights,
            intercepts=offsets, classlabels_strings=["ash", "oak"], multi_class=0, post_transform="LOGISTIC",
        ),
    ]  # fmt: skip
    inputs = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 2])]
    if columns:
        names = ["height", "girth"]
        nodes.insert(0, helper.make_node("Concat", names, ["joined"], axis=1))
        inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in names]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2]),
    ]
    graph = helper.make_graph(nodes, "trees", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / "model.onnx")
    return folder
