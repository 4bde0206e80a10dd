"""Classical models: against the library's own answer, in every form of a table, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tallystick.tasks.prediction import Table
from tallystick_platform.engine.classical import load_classical
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.oneshot import OneShotEngine
from tallystick_platform.engine.weights_digest import compute
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.formats.folder import inspect_folder
from tallystick_platform.protocol import Call, Failed, Finished, Piece, VersionConfig
from tallystick_platform.tasks import PREDICTION
from tallystick_platform.tasks.prediction import Predicted, Predicting
from tests.support.classical_models import LABELS, ROWS, classifier, regressor, write_onnx, write_skops


def ignore(stage: str, fraction: float) -> None:
    del stage, fraction


def engine_of(folder: Path, tmp_path: Path) -> OneShotEngine:
    version = VersionConfig(
        model_id="trees", version="1", folder=str(folder), digest=compute(folder).digest.hex(), task="classical"
    )
    return load_engine(EngineConfig(model="trees", models_dir=tmp_path, version=version, device="cpu"), ignore)


def events_of(engine: OneShotEngine, rows: object, columns: object = None, *, probabilities: bool = False) -> list:
    table = Table(columns=columns, rows=rows)
    engine.submit(Call(b"a", "prediction", PREDICTION.call(table, Predicting(probabilities=probabilities))))
    events = []
    while engine.has_work():
        events += engine.step()
    return events


def predicted(*given: object, **how: object) -> Predicted:
    events = events_of(*given, **how)
    assert isinstance(events[-1], Finished), events
    (piece,) = [one for one in events if isinstance(one, Piece)]
    return msgspec.msgpack.decode(piece.data, type=Predicted)


def test_an_estimator_predicts_what_the_library_predicts(tmp_path: Path) -> None:
    estimator = classifier()
    engine = engine_of(write_skops(tmp_path / "model", estimator), tmp_path)
    found = predicted(engine, ROWS.tolist(), probabilities=True)
    assert found.predictions == estimator.predict(ROWS).tolist() == LABELS.tolist()
    assert found.classes == ["ash", "oak"]
    assert found.probabilities == estimator.predict_proba(ROWS).tolist()
    assert predicted(engine, ROWS.tolist()).probabilities is None


def test_numbers_come_as_numbers(tmp_path: Path) -> None:
    estimator = regressor()
    engine = engine_of(write_skops(tmp_path / "model", estimator), tmp_path)
    events = events_of(engine, [[1, 2], [3.5, 4]])
    assert events[-1].usage == {"rows": 2}
    assert predicted(engine, [[1, 2], [3.5, 4]]).predictions == estimator.predict([[1, 2], [3.5, 4]]).tolist()


def test_columns_are_told_apart_by_their_names(tmp_path: Path) -> None:
    estimator = regressor()
    estimator.feature_names_in_ = np.array(["height", "girth"], object)
    engine = engine_of(write_skops(tmp_path / "model", estimator), tmp_path)
    expected = predicted(engine, [[1, 2]]).predictions
    assert predicted(engine, [[2, 1]], ("girth", "height")).predictions == expected
    (failed,) = [one for one in events_of(engine, [[2, 1]], ("girth", "age")) if isinstance(one, Failed)]
    assert "lacks the column 'height'" in failed.reason


@pytest.mark.parametrize("columns", [False, True])
def test_an_onnx_model_predicts_what_its_runtime_predicts(tmp_path: Path, columns: bool) -> None:
    engine = engine_of(write_onnx(tmp_path / "model", columns=columns), tmp_path)
    names = ("girth", "height") if columns else None
    rows = ROWS[:, ::-1].tolist() if columns else ROWS.tolist()
    found = predicted(engine, rows, names, probabilities=True)
    assert found.predictions == LABELS.tolist()
    assert np.allclose(np.sum(found.probabilities, axis=1), 1, atol=1e-6)
    assert [row[1] > 0.5 for row in found.probabilities] == (LABELS == "oak").tolist()


@pytest.mark.parametrize(
    ("rows", "columns", "reason"),
    [
        ([[1, 2, 3]], None, "3 values"),
        ([["a", "b"]], None, "does not take these rows"),
        ([[[1], [2]]], None, "a cell is a list"),
        ([[None, 1]], None, "does not take these rows"),
    ],
)
def test_rows_that_an_estimator_does_not_take_are_refused(tmp_path: Path, rows, columns, reason) -> None:
    engine = engine_of(write_skops(tmp_path / "model", regressor()), tmp_path)
    (failed,) = [one for one in events_of(engine, rows, columns) if isinstance(one, Failed)]
    assert failed.kind == "prompt-rejected"
    assert reason in failed.reason


@pytest.mark.parametrize(
    ("rows", "columns", "reason"),
    [
        ([[1, 2]], None, "by their names"),
        ([[1, 2]], ("height", "age"), "lacks the column 'girth'"),
        ([["a", "b"]], ("height", "girth"), "are no tensor(float)"),
    ],
)
def test_rows_that_an_onnx_model_does_not_take_are_refused(tmp_path: Path, rows, columns, reason) -> None:
    engine = engine_of(write_onnx(tmp_path / "model", columns=True), tmp_path)
    (failed,) = [one for one in events_of(engine, rows, columns) if isinstance(one, Failed)]
    assert (failed.kind, reason in failed.reason) == ("prompt-rejected", True), failed.reason


def test_probabilities_that_a_model_does_not_have_are_refused(tmp_path: Path) -> None:
    engine = engine_of(write_skops(tmp_path / "model", regressor()), tmp_path)
    (failed,) = [one for one in events_of(engine, [[1, 2]], probabilities=True) if isinstance(one, Failed)]
    assert failed.kind == "prompt-rejected"


def test_a_number_that_is_not_finite_is_a_failure_of_the_model(tmp_path: Path) -> None:
    estimator = regressor()
    estimator.coef_ = np.array([np.inf, 0.0])
    engine = engine_of(write_skops(tmp_path / "model", estimator), tmp_path)
    (failed,) = [one for one in events_of(engine, [[1, 2]]) if isinstance(one, Failed)]
    assert failed.kind == "engine-failed"


def test_a_model_tells_its_schema(tmp_path: Path) -> None:
    model = engine_of(write_skops(tmp_path / "skops", classifier()), tmp_path).model
    assert (model.task, model.tasks, model.reproducibility) == ("prediction", ("prediction",), "reproducible")
    assert model.schema == {
        "inputs": [{"type": "tensor", "shape": [-1, 2]}],
        "outputs": [{"type": "label", "classes": ["ash", "oak"]}],
    }
    schema = engine_of(write_onnx(tmp_path / "onnx", columns=True), tmp_path).model.schema
    assert [one["name"] for one in schema["inputs"]] == ["height", "girth"]
    assert schema["outputs"][1] == {"name": "scores", "type": "tensor(float)", "shape": [-1, 2]}


def test_the_registry_knows_what_the_engine_serves(tmp_path: Path) -> None:
    assert inspect_folder(write_skops(tmp_path / "skops", classifier())).task == "classical"
    assert inspect_folder(write_onnx(tmp_path / "onnx")).task == "classical"


def test_types_that_are_not_trusted_are_never_built(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    skops.io.dump(FunctionTransformer(print), folder / "model.skops")
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        load_classical(folder)


@pytest.mark.parametrize("content", [None, b"not a model"], ids=["nothing", "no model"])
def test_a_folder_without_one_model_is_unusable(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelUnusable):
        load_classical(tmp_path)


def test_what_predicts_nothing_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="predicts nothing"):
        load_classical(write_skops(tmp_path / "model", StandardScaler().fit(ROWS)))
