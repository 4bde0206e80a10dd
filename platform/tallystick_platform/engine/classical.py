"""Classical models: scikit-learn's estimators out of skops files, and ONNX models over named columns.

Nothing is unpickled. A skops file builds the types that the library trusts by itself, and no other; an ONNX model is run by a runtime that
has its operators built in. A request's rows are computed by themselves, in one thread, so that an answer depends on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tallystick_platform.engine.kind import Answer, Input, Loaded
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.errors import ModelUnusable, PromptRejected, kind_of
from tallystick_platform.protocol import Call
from tallystick_platform.tasks.prediction import Predicted, PredictionCall, decode_call

ENGINE_NAME = "tallystick-classical"
INPUT_SIZE = 512
"""Each request is a step of its own."""
SKOPS, ONNX = "*.skops", "*.onnx"

Array = np.ndarray[Any, Any]


class Estimator:
    """A scikit-learn estimator. `schema` says what it takes and gives, as MLflow's signatures do."""

    def __init__(self, path: Path) -> None:
        """Raises: ModelUnusable."""
        import skops.io

        try:
            self._model: Any = skops.io.load(path, trusted=[])
        except Exception as error:  # the library raises nothing narrower
            raise ModelUnusable(reason=f"{path.name} cannot be loaded: {kind_of(error)}") from error
        if not hasattr(self._model, "predict"):
            raise ModelUnusable(reason=f"it is a {type(self._model).__name__}, which predicts nothing")
        self._names = tuple(map(str, getattr(self._model, "feature_names_in_", ())))
        self._width = int(getattr(self._model, "n_features_in_", 0)) or None
        self.classes = _plain(self._model.classes_) if hasattr(self._model, "classes_") else None
        self.schema: dict[str, Any] = {
            "inputs": [{"name": name, "type": "any"} for name in self._names]
            or [{"type": "tensor", "shape": [-1, self._width or -1]}],
            "outputs": [
                {"type": "label" if self.classes else "number", **({"classes": self.classes} if self.classes else {})}
            ],
        }

    def prepared(self, call: PredictionCall) -> Array:
        """The rows in the order of the features that the estimator was fitted to. Raises: PromptRejected."""
        rows, columns = call.rows, call.columns
        if any(isinstance(cell, list | tuple) for row in rows for cell in row):
            raise PromptRejected(reason="a cell is a list, and this model takes scalars")
        if columns is not None and self._names:
            places = _places(columns, self._names)
            rows = tuple(tuple(row[at] for at in places) for row in rows)
        if self._width is not None and len(rows[0]) != self._width:
            raise PromptRejected(reason=f"the rows have {len(rows[0])} values, and the model takes {self._width}")
        numbers = all(cell is None or isinstance(cell, int | float) for row in rows for cell in row)
        return np.array(rows, np.float64 if numbers else object)

    def predict(self, rows: Any, *, probabilities: bool) -> Predicted:
        """Raises: PromptRejected where it does not take such rows."""
        try:
            found = _plain(self._model.predict(rows))
            likely = _plain(self._model.predict_proba(rows)) if probabilities else None
        except (ValueError, TypeError, AttributeError) as error:
            raise PromptRejected(reason=f"the model does not take these rows: {kind_of(error)}") from error
        return Predicted(predictions=found, classes=self.classes if probabilities else None, probabilities=likely)


class OnnxModel:
    """An ONNX model whose inputs are a matrix, or one for each column. Its first output are the predictions."""

    def __init__(self, path: Path) -> None:
        """Raises: ModelUnusable."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library raises nothing narrower
            raise ModelUnusable(reason=f"{path.name} cannot be loaded: {kind_of(error)}") from error
        self._inputs = {one.name: one for one in self._session.get_inputs()}
        unknown = [one.type for one in self._inputs.values() if one.type not in _ONNX_TYPES]
        if unknown:
            raise ModelUnusable(reason=f"it takes {unknown[0]}, which no table has")
        self.classes = None
        self.schema = {
            "inputs": [_described(one) for one in self._session.get_inputs()],
            "outputs": [_described(one) for one in self._session.get_outputs()],
        }

    def prepared(self, call: PredictionCall) -> Mapping[str, Array]:
        """The inputs by their names. Raises: PromptRejected."""
        if len(self._inputs) == 1:
            (one,) = self._inputs.values()
            single = call.columns is None or len(call.columns) == 1
            cells = [row[0] if single and isinstance(row[0], list | tuple) else row for row in call.rows]
            return {one.name: _array(cells, one)}
        if call.columns is None:
            raise PromptRejected(reason=f"the model takes the columns {', '.join(self._inputs)}, by their names")
        places = dict(zip(self._inputs, _places(call.columns, tuple(self._inputs)), strict=True))
        return {name: _array([row[at] for row in call.rows], self._inputs[name]) for name, at in places.items()}

    def predict(self, given: Any, *, probabilities: bool) -> Predicted:
        """Raises: PromptRejected where it does not take such rows, or gives no probabilities."""
        try:
            found = self._session.run(None, dict(given))
        except Exception as error:  # the library raises nothing narrower
            raise PromptRejected(reason=f"the model does not take these rows: {kind_of(error)}") from error
        predictions = _plain(found[0])
        if not probabilities:
            return Predicted(predictions=predictions)
        classes, likely = _likely(found[1:])
        return Predicted(predictions=predictions, classes=classes, probabilities=likely)


_ONNX_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}


def _described(one: Any) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in one.shape or ()]
    return {"name": one.name, "type": one.type, "shape": shape}


def _array(cells: Sequence[Any], one: Any) -> Array:
    """An input's rows: scalars stand in a column of their own where it has two dimensions. Raises: PromptRejected."""
    dtype: Any = _ONNX_TYPES[one.type]
    try:
        found = np.array([np.nan if cell is None else cell for cell in cells], dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise PromptRejected(reason=f"the values of {one.name!a:.60} are no {one.type}") from error
    return found.reshape(-1, 1) if found.ndim == 1 and len(one.shape or ()) == 2 else found


def _places(given: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the wanted columns stand among the given ones. Raises: PromptRejected, naming what is missing or not known."""
    at = {name: place for place, name in enumerate(given)}
    missing = [name for name in wanted if name not in at]
    unknown = [name for name in given if name not in set(wanted)]
    if missing or unknown:
        named = f"lacks the column {missing[0]!a:.60}" if missing else f"has the unknown column {unknown[0]!a:.60}"
        raise PromptRejected(reason=f"the table {named}; the model takes {', '.join(wanted)[:400]}")
    return [at[name] for name in wanted]


def _likely(outputs: Sequence[Any]) -> tuple[list[Any] | None, list[list[float]]]:
    """The probabilities among the outputs behind the first: maps of classes, or a matrix. Raises: PromptRejected."""
    for found in outputs:
        if isinstance(found, list) and found and isinstance(found[0], Mapping):
            classes = list(found[0])
            return classes, [[float(row[name]) for name in classes] for row in found]
        if isinstance(found, np.ndarray) and found.ndim == 2 and found.dtype.kind == "f":
            return None, _plain(found)
    raise PromptRejected(reason="the model gives no probabilities")


def _plain(found: Any) -> list[Any]:
    """An array as lists of Python's own scalars. Raises: NotFinite, for a record holds no such number."""
    values: list[Any] = np.asarray(found).tolist()
    _require_finite(values)
    return values


def _require_finite(values: Any) -> None:
    if isinstance(values, list):
        for one in values:
            _require_finite(one)
    elif isinstance(values, float) and not math.isfinite(values):
        raise NotFinite("the model predicts a number that is not finite")


class Tables:
    """The one table of a request."""

    def __init__(self, model: Estimator | OnnxModel, asked: PredictionCall) -> None:
        self._model, self._asked = model, asked

    def __len__(self) -> int:
        return 1

    def read(self, _at: int) -> Input:
        """The whole of it, held to what the model takes. Raises: PromptRejected."""
        rows = len(self._asked.rows)
        data = (self._model.prepared(self._asked), self._asked.how.probabilities)
        return Input(data=data, group=0, size=INPUT_SIZE, counts={"rows": rows}, looked_at=rows)

    def answer(self, result: Predicted) -> Answer:
        """Predictions and, where they were asked for, probabilities."""
        return Answer(piece=msgspec.msgpack.encode(result))


class Classical:
    """Implements `Kind` for a classical model."""

    def __init__(self, model: Estimator | OnnxModel) -> None:
        self.model = model

    def inputs(self, call: Call) -> Tables:
        """Raises: msgspec.DecodeError."""
        return Tables(self.model, decode_call(call.body))

    def room(self, _group: Hashable) -> int:
        """Each is computed alone."""
        return 0

    def compute(self, inputs: Sequence[Input]) -> Iterator[Sequence[Predicted] | None]:
        """Raises: PromptRejected, NotFinite."""
        yield [self.model.predict(one.data[0], probabilities=one.data[1]) for one in inputs]


def model_file(folder: Path) -> Path | None:
    """The one file of a classical model; None where the folder is something else."""
    if (folder / "config.json").exists():
        return None
    found = sorted([*folder.glob(SKOPS), *folder.glob(ONNX)])
    return found[0] if len(found) == 1 else None


def load_classical(folder: Path) -> Loaded:
    """Raises: ModelUnusable."""
    path = model_file(folder)
    if path is None:
        raise ModelUnusable(reason="the folder holds no single skops or ONNX file")
    skops = path.suffix == ".skops"
    libraries = ("scikit-learn", "skops") if skops else ("onnxruntime",)
    model = Estimator(path) if skops else OnnxModel(path)
    return Loaded(
        kind=Classical(model),
        engine=ENGINE_NAME,
        engine_version=f"1 ({', '.join(f'{name} {version(name)}' for name in libraries)})",
        task="prediction",
        exact=True,
        context_length=1,
        schema=model.schema,
    )
