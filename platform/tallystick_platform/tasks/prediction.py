"""Prediction: what a classical model says of the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.record import Output, Value
from tallystick.tasks import prediction
from tallystick.tasks.neutral import PREDICTION
from tallystick.tasks.prediction import Table
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.tasks.each import Each
from tallystick_platform.tasks.task import Task


class Predicting(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered: with `probabilities` those of each class, beside the predictions."""

    probabilities: bool


class PredictionCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine predicts from. It answers with a `Predicted` in msgpack."""

    columns: tuple[str, ...] | None
    rows: tuple[tuple[Any, ...], ...]
    how: Predicting


class Predicted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prediction for each row; where they were asked for, the probability of each of the `classes`."""

    predictions: list[Any]
    classes: list[Any] | None = None
    probabilities: list[list[float]] | None = None


_calls = msgspec.msgpack.Decoder(PredictionCall)


def decode_call(body: bytes) -> PredictionCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _calls.decode(body)


class Prediction(Task[Table, Predicting]):
    """Rows to predictions."""

    name = prediction.NAME
    parameters = Predicting
    neutral = PREDICTION

    def defaults(self, _model: ModelInfo, _draw_seed: Callable[[], int]) -> dict[str, Any]:
        return {"probabilities": False}

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> Table:
        return prediction.table_of(prompt)

    def call(self, given: Table, used: Predicting) -> bytes:
        return msgspec.msgpack.encode(PredictionCall(columns=given.columns, rows=given.rows, how=used))

    def gather(self, _given: Table, _used: Predicting) -> Each:
        return Each(_output)


def _output(piece: bytes) -> Output:
    return prediction.predicted(msgspec.msgpack.decode(piece))
