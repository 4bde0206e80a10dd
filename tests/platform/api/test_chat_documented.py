"""The list of parameters in docs/api.md, and the one that the service goes by."""

from __future__ import annotations

import re
from pathlib import Path

from tallystick.tasks.chat_neutral import MESSAGE, PARAMETERS, PART
from tallystick_platform.api.chat_body import NAMES
from tests.support.api import DOCUMENT

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def test_the_page_names_every_parameter_and_no_other() -> None:
    section = PAGE[PAGE.index("## Chat\n") : PAGE.index("## The proof in every answer")]
    named = {
        name for row in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for name in re.findall(r"`([a-z_]+)`", row)
    }
    assert named == NAMES | PARAMETERS.keys() | MESSAGE.keys() | PART.keys()


def test_the_description_has_every_parameter() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["ChatBody"]["properties"].keys() == NAMES | PARAMETERS.keys()
    assert schemas["Message"]["properties"].keys() == {"role", "content"} | MESSAGE.keys()
    assert schemas["TextPart"]["properties"].keys() == {"type", "text"} | PART.keys()
    assert schemas["ChatBody"]["properties"]["n"]["enum"] == [1, None]
