"""The lines that docs/api.md has for tools, messages and responses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.platform.api.test_chat_tools import calling
from tests.support.api import CHAT, MESSAGES, RESPONSES
from tests.support.exchange import MODEL

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
SECTIONS = PAGE.partition("\n## Tools")[2].partition("\n## Completions")[0]
LINES = re.findall(r"curl http://127\.0\.0\.1:8000(/v1/\S+) [^\n]*\n +-d '(.*?)'\n", SECTIONS, re.DOTALL)


def test_each_section_has_its_line() -> None:
    assert [path for path, _ in LINES] == [CHAT, MESSAGES, RESPONSES]


@pytest.mark.parametrize(("path", "body"), LINES)
async def test_the_line_is_answered(path: str, body: str) -> None:
    async with (api := calling("hermes")).client() as client:
        reply = await client.post(path, json=json.loads(body) | {"model": MODEL.id})
    assert reply.status_code == 200, reply.text
    assert reply.json()["tallystick"]["record_id"]
    assert api.journal.only.task == "chat"
