"""`POST /v1/predict`: tables for classical models, in the forms that MLflow's clients send."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tallystick.tasks import neutral, prediction
from tallystick_platform import tasks
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, outputs_of
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.tasks.prediction import Predicted

Rows = Annotated[
    list[Any] | dict[str, list[Any]],
    Meta(description="Rows, rows that name their columns, or columns by name: up to 10,000 rows and 65,536 values."),
]


class SplitTable(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A table as `pandas.DataFrame.to_dict("split")` writes it."""

    data: list[Any]
    columns: list[str] | None = None
    index: Annotated[list[Any], Meta(description="Changes nothing.")] | None = None


class PredictBody(Body, frozen=True, kw_only=True):
    """A table, under exactly one of four names.

    Of other parameters, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    inputs: Rows | None = None
    instances: Rows | None = None
    dataframe_split: SplitTable | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    probabilities: Annotated[bool, Meta(description="Those of each class, beside the predictions.")] | None = None


class PredictUsage(Struct, frozen=True, kw_only=True):
    """How many rows were given."""

    rows: int


class PredictionAnswer(Struct, frozen=True, kw_only=True, tag_field="object", tag="prediction"):
    """A prediction for each row, in their order."""

    model: str
    predictions: list[Any]
    classes: list[Any] | UnsetType = UNSET
    probabilities: list[list[float]] | UnsetType = UNSET
    usage: PredictUsage
    tallystick: Proof


def _whole(body: PredictBody, recorded: Recorded, tallystick: Proof) -> PredictionAnswer:
    (output,) = outputs_of(recorded)
    found = msgspec.convert(output.content, Predicted)
    return PredictionAnswer(
        model=body.model,
        predictions=found.predictions,
        classes=UNSET if found.classes is None else found.classes,
        probabilities=UNSET if found.probabilities is None else found.probabilities,
        usage=PredictUsage(rows=len(found.predictions)),
        tallystick=tallystick,
    )


PREDICTIONS = OpenAiAddress(
    name="predict",
    routes=("/v1/predict",),
    summary="Have a classical model predict",
    task=tasks.PREDICTION,
    reader=prediction.READER,
    subject="inputs",
    body=PredictBody,
    neutral=neutral.PREDICTION,
    read_members=prediction.read_members,
    answers=PredictionAnswer,
    whole=_whole,
)
