"""The card speaks of the export and of nothing that its words could smuggle in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tallystick_platform.exporter.card import document, model_card, provenance, tool_versions
from tallystick_platform.exporter.spec import ExportSpec, ParityReport

REPORT = ParityReport(
    reference="the source",
    runtime="the export",
    bound={"greedy_agreement": 1.0},
    greedy_tokens=50,
    greedy_equal=50,
    perplexity_reference=10.0,
    perplexity=10.5,
    notes=("a note",),
)


def spec(**changes: Any) -> ExportSpec:
    values: dict[str, Any] = {
        "source": Path("/secret/place/models/a"),
        "source_digest": b"\xab" * 32,
        "model": "people/model",
        "version": "abababababab",
        "task": "chat",
        "format": "gguf",
        "target": Path("/secret/place/exports/b"),
        "command": "POST /v1/models/people/model/exports",
        "licence": "Apache-2.0",
    }
    return ExportSpec(**{**values, **changes})


def test_a_card_says_where_the_files_come_from_and_how_they_compared() -> None:
    card = model_card(spec(quantization="Q8_0"), REPORT)
    for said in ("ab" * 32, "people/model", "Q8_0", "Apache-2.0", "POST /v1/models", "50 of 50", "10.5", "a note"):
        assert said in card
    assert all(f"{name} {version}" in card for name, version in tool_versions().items())


@pytest.mark.parametrize("text", ["a\n---\nlicense: mit", "`x` | y", "<script>", "[x](http://evil)", "a\x1b[31m"])
@pytest.mark.parametrize("field", ["model", "version", "licence", "command", "task", "quantization"])
def test_words_of_others_stay_words(field: str, text: str) -> None:
    card = model_card(spec(**{field: text}), REPORT)
    head, body = card.split("\n---\n", 1)
    assert head.startswith("---\nlicense: ")
    assert all(": " in line for line in head.splitlines()[1:])
    assert "\x1b" not in card
    assert "<script>" not in body.replace("`<script>`", "")
    assert not re.search(r"(?<!\\)\]\(http", body.replace("`[x](http://evil)`", ""))
    rows = [line for line in body.splitlines() if line.startswith("| ")]
    assert all(row.replace("\\|", "").count("|") == 3 for row in rows)


def test_a_head_is_one_value_a_line_that_json_reads() -> None:
    head = model_card(spec(model='a"b'), REPORT).split("---")[1].strip().splitlines()
    values = {line.split(": ", 1)[0]: json.loads(line.split(": ", 1)[1]) for line in head}
    assert values == {"license": "apache-2.0", "base_model": 'a"b', "library_name": "gguf"}


@pytest.mark.parametrize("licence", [None, "my own licence, version 2"])
def test_a_licence_without_a_short_name_is_other(licence: str | None) -> None:
    card = model_card(spec(licence=licence), REPORT)
    assert 'license: "other"' in card
    assert (licence or "not stated") in card


def test_no_place_of_this_machine_is_told() -> None:
    told = model_card(spec(), REPORT) + document(provenance(spec(), REPORT))
    assert "/secret/place" not in told


def test_what_was_not_measured_is_said() -> None:
    report = ParityReport(reference="a", runtime="b", bound={"max_logit_difference": 0.0}, max_logit_difference=0.0)
    assert model_card(spec(), report).count("not measured") == 3
