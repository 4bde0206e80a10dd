"""The lists of parameters in docs/api.md, and those that the service goes by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tallystick.tasks.neutral import MESSAGE, PART
from tallystick_platform.api.wire import anthropic
from tallystick_platform.api.wire.openai import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, WIRES
from tallystick_platform.api.wire.openai.chat import MESSAGES
from tallystick_platform.api.wire.openai.reading import OpenAiAddress
from tests.support.api import DOCUMENT

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
INSIDE = {"Chat": MESSAGE.keys() | PART.keys()}


def members_of(wire: OpenAiAddress) -> set[str]:
    return set(wire.body.__struct_fields__) | wire.neutral.keys()


@pytest.mark.parametrize(("title", "wire"), [("Chat", CHAT), ("Completions", COMPLETIONS), ("Embeddings", EMBEDDINGS)])
def test_the_page_names_every_parameter_and_no_other(title: str, wire: OpenAiAddress) -> None:
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for name in re.findall(r"`([a-z_]+)`", row)
    }
    assert named == members_of(wire) | INSIDE.get(title, set())


@pytest.mark.parametrize(("title", "wire"), [("Messages", anthropic.MESSAGES), ("Responses", RESPONSES)])
def test_the_page_names_what_acts_in_other_words(title: str, wire: OpenAiAddress) -> None:
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for name in re.findall(r"`([a-z_]+)`", row)
    }
    assert named == set(wire.body.__struct_fields__)


def test_the_description_has_every_parameter() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for wire in WIRES:
        assert schemas[wire.body.__name__]["properties"].keys() == members_of(wire)
    for message in MESSAGES:
        acting = {"role", *message.__struct_fields__}
        assert schemas[message.__name__]["properties"].keys() == acting | MESSAGE.keys()
    assert schemas["TextPart"]["properties"].keys() == {"type", "text"} | PART.keys()
    assert schemas["ChatBody"]["properties"]["length_penalty"]["enum"] == [1, None]
