"""The lines that docs/api.md has for addresses that name their model, and for a dispatcher's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from tallystick.tasks import received_answer
from tests.support.api import Api
from tests.support.exchange import MODEL, Script

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
SECTIONS = PAGE.partition("\n## Every task of one model")[2].partition("\n## The proof in every answer")[0]
LINES = re.findall(r"curl http://127\.0\.0\.1:8000(/\S+) [^\n]*\n +-d '(.*?)'\n", SECTIONS, re.DOTALL)
LABELLED = Script(texts=(msgspec.msgpack.encode([("good", 0.75), ("bad", 0.25)]),), finish_reason=None)


def test_each_address_has_its_line() -> None:
    assert [path.rpartition("proxy/v1/")[2] for path, _ in LINES] == [
        "chat/completions",
        "classify",
        "/v1/service/llm/v1/chat/completions",
        "/inferencia/v1/predict",
    ]


@pytest.mark.parametrize(("path", "body"), LINES)
async def test_the_line_is_answered_with_what_its_record_holds(path: str, body: str) -> None:
    path = re.sub(r"/models/.*/proxy", f"/models/{MODEL.id}/proxy", path)
    sent = json.loads(body)
    sent |= {name: MODEL.id for name in ("model", "model_name") if name in sent}
    async with (api := Api(LABELLED if "chat" not in path else None)).client() as client:
        reply = await client.post(path, json=sent)
    assert reply.status_code == 200, reply.text
    assert received_answer(reply.json()).outputs == api.journal.only.response.outputs
