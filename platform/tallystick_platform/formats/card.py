"""The licence that a model folder states."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

from tallystick_platform.formats.json_text import short_text
from tallystick_platform.formats.limits import KIB
from tallystick_platform.formats.reading import open_regular

MAX_CARD_BYTES = 256 * KIB
MAX_LICENCE_LETTERS = 100
CARD = "README.md"
LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
# Every part takes what only it can take, so that no card makes the search start over.
_ENTRY = re.compile(r"^(license|license_name):[ \t]*(\S.*)$", re.MULTILINE)
_TITLES = (
    ("Apache License", "apache-2.0"),
    ("MIT License", "mit"),
    ("GNU AFFERO GENERAL PUBLIC LICENSE", "agpl-3.0"),
    ("GNU GENERAL PUBLIC LICENSE", "gpl-3.0"),
)
_TITLE_LETTERS = 400


def licence_of(folder: Path, names: Container[str]) -> str | None:
    """From the front matter of the model card, else from the title of a licence file."""
    if CARD in names:
        matter = _FRONT_MATTER.match(_beginning(folder / CARD))
        found_entries: list[tuple[str, str]] = _ENTRY.findall(matter.group(1)) if matter else []
        entries = {key: value.strip().strip("\"'") for key, value in found_entries}
        # `other` only says that the name stands elsewhere.
        stated = entries.get("license", "")
        found = entries.get("license_name", "") if stated in {"", "other"} else stated
        if short_text(found or stated, MAX_LICENCE_LETTERS):
            return found or stated
    for name in LICENCE_FILES:
        if name in names:
            beginning = _beginning(folder / name)[:_TITLE_LETTERS]
            return next((licence for title, licence in _TITLES if title in beginning), "see " + name)
    return None


def _beginning(path: Path) -> str:
    with open_regular(path) as (file, _):
        return file.read(MAX_CARD_BYTES).decode(errors="replace")
