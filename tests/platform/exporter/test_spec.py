"""The spec's JSON, and the verdict of a parity report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tallystick.manifest import FileEntry
from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.spec import (
    GREEDY_AGREEMENT,
    MAX_LOGIT_DIFFERENCE,
    MAX_PARITY_TOKENS,
    MAX_SPEC_BYTES,
    MIN_SHARD_BYTES,
    PERPLEXITY_DIFFERENCE,
    QUANTIZATIONS,
    ExportResult,
    ExportSpec,
    ParityReport,
    scaled,
)


def spec(**changes: Any) -> ExportSpec:
    values: dict[str, Any] = {
        "source": Path("/models/a"),
        "source_digest": bytes(range(32)),
        "model": "people/model",
        "version": "0123456789ab",
        "task": "chat",
        "format": "gguf",
        "target": Path("/exports/b"),
    }
    return ExportSpec(**{**values, **changes})


def report(**changes: Any) -> ParityReport:
    values: dict[str, Any] = {"reference": "a", "runtime": "b", "bound": {MAX_LOGIT_DIFFERENCE: 0.001}}
    return ParityReport(**{**values, **changes})


def test_a_spec_survives_its_json() -> None:
    full = spec(quantization="Q8_0", licence="MIT", signing_key=Path("/keys/k.pem"), command="x", parity_tokens=7)
    assert ExportSpec.from_json(full.to_json()) == full
    assert ExportSpec.from_json(spec().to_json()) == spec()


def test_a_spec_that_names_only_what_it_must_takes_the_defaults() -> None:
    names = ("source", "source_digest", "model", "version", "task", "format", "target")
    short = {name: value for name, value in json.loads(spec().to_json()).items() if name in names}
    assert ExportSpec.from_json(json.dumps(short)) == spec()


@pytest.mark.parametrize(
    "change",
    [
        {"format": "pickle"},
        {"source_digest": "00"},
        {"source_digest": "zz"},
        {"parity_tokens": 0},
        {"parity_tokens": MAX_PARITY_TOKENS + 1},
        {"parity_tokens": True},
        {"parity_tokens": "5"},
        {"shard_bytes": MIN_SHARD_BYTES - 1},
        {"model": 3},
        {"target": None},
        {"surprise": "x"},
    ],
)
def test_a_spec_with_a_wrong_value_is_refused(change: dict[str, Any]) -> None:
    values = {**json.loads(spec().to_json()), **change}
    with pytest.raises(ExportRefused):
        ExportSpec.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, '{"source": "/a"}', " " * (MAX_SPEC_BYTES + 1)])
def test_what_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(ExportRefused):
        ExportSpec.from_json(text)


@pytest.mark.parametrize(
    ("name", "holds", "fails"),
    [
        (MAX_LOGIT_DIFFERENCE, {"max_logit_difference": 0.001}, {"max_logit_difference": 0.0011}),
        (GREEDY_AGREEMENT, {"greedy_tokens": 50, "greedy_equal": 50}, {"greedy_tokens": 50, "greedy_equal": 49}),
        (
            PERPLEXITY_DIFFERENCE,
            {"perplexity_reference": 10.0, "perplexity": 10.0},
            {"perplexity_reference": 10.0, "perplexity": 9.0},
        ),
    ],
)
def test_a_bound_holds_up_to_its_figure_and_fails_beyond(name: str, holds: Any, fails: Any) -> None:
    bound = {name: 1.0 if name == GREEDY_AGREEMENT else 0.001}
    assert report(bound=bound, **holds).passed
    failed = report(bound=bound, **fails)
    assert not failed.passed
    assert name in failed.failures[0]


def test_what_was_not_measured_fails_its_bound() -> None:
    bound = {MAX_LOGIT_DIFFERENCE: 1.0, GREEDY_AGREEMENT: 0.0, PERPLEXITY_DIFFERENCE: 1.0}
    assert len(report(bound=bound).failures) == 3


def test_what_is_not_a_number_fails_its_bound_and_becomes_null() -> None:
    found = report(max_logit_difference=float("nan"))
    assert not found.passed
    assert found.to_dict()["max_logit_difference"] is None
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("bound", [{}, {"looks_good": 1.0}])
def test_a_report_without_a_known_bound_cannot_be_made(bound: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="bounds are named"):
        report(bound=bound)


def test_a_result_is_json_with_digests_in_hex() -> None:
    entry = FileEntry(name="model.safetensors", size=3, sha256=bytes(32))
    result = ExportResult(files=(entry,), digest=b"\x01" * 32, parity=report(max_logit_difference=0.0))
    shown = json.loads(json.dumps(result.to_dict()))
    assert shown["files"] == [{"name": "model.safetensors", "size": 3, "sha256": "00" * 32}]
    assert shown["digest"] == "01" * 32
    assert shown["parity"]["passed"] is True


def test_progress_of_a_part_stays_within_its_share() -> None:
    seen: list[float] = []
    part = scaled(lambda _stage, fraction: seen.append(fraction), 0.2, 0.4)
    for fraction in (-1.0, 0.0, 0.5, 1.0, 7.0):
        part("x", fraction)
    assert seen == pytest.approx([0.2, 0.2, 0.3, 0.4, 0.4])


def test_what_can_be_asked_for_is_what_the_formats_write() -> None:
    from tallystick_platform.exporter.gguf.quantization import QUANTIZATIONS as GGUF
    from tallystick_platform.exporter.onnx.plan import _BOUNDS

    assert set(QUANTIZATIONS["gguf"]) == set(GGUF)
    assert set(QUANTIZATIONS["onnx"]) == {precision for _, precision in _BOUNDS}
    assert QUANTIZATIONS["safetensors"] == ()
