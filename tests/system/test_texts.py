"""Rerank, classify, entities and translate as a user and an auditor meet them: real processes, with an engine without a model for speed;
and the packaged encoder, whose ranking is computed again to the last bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tallystick_platform.engine.model_store import packaged_file
from tests.support.service import Service, tallystick

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("system")]

ASKED = {
    "/v1/rerank": {"query": "debts", "documents": ["a tally stick", "a river"], "top_n": 1},
    "/v1/classify": {"inputs": ["good day", ["one", "two"]], "top_k": 2},
    "/v1/entities": {"inputs": "Ann sings"},
    "/v1/translate": {"text": ["good day"]},
}
SHOWN = {
    "/v1/rerank": "document ",
    "/v1/classify": "  good\n",
    "/v1/entities": "  good  Ann  (0 to 3)\n",
    "/v1/translate": "yad doog",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(home=tmp_path_factory.mktemp("home")).start()
    yield running
    running.stop()


def ask(service: Service, path: str, **asked: object) -> tuple[bytes, bytes]:
    """The body of a request and of its answer."""
    body = json.dumps({"model": service.model, **asked}).encode()
    headers = service.headers | {"content-type": "application/json"}
    reply = httpx.post(service.base_url + path, headers=headers, content=body, timeout=60)
    assert reply.status_code == 200, reply.text
    return body, reply.content


@pytest.mark.parametrize("path", list(ASKED))
def test_a_saved_answer_is_verified_and_its_record_is_shown_as_a_person_reads_it(
    service: Service, tmp_path: Path, path: str
) -> None:
    sent, answer, evidence = (tmp_path / name for name in ("body.json", "answer.json", "evidence.json"))
    body, reply = ask(service, path, **ASKED[path])
    sent.write_bytes(body)
    answer.write_bytes(reply)
    service.wait_anchored()
    more = () if path == "/v1/rerank" else ("--request-target", path)
    checked = tallystick("verify", str(answer), "--request", str(sent), *more, *service.trusted(), *service.node()[:2])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    record_id = json.loads(reply)["tallystick"]["record_id"]
    evidence.write_bytes(service.get(f"/v1/records/{record_id}/proof").content)
    verified = tallystick("verify", str(evidence), *service.trusted())
    assert verified.returncode == 0, verified.stdout + verified.stderr
    shown = tallystick("show", str(evidence))
    assert shown.returncode == 0, shown.stderr
    assert SHOWN[path] in shown.stdout


@pytest.mark.model
def test_a_ranking_of_the_packaged_encoder_is_computed_again_by_an_auditor(tmp_path: Path) -> None:
    service = Service(home=tmp_path / "home", environment={"TALLYSTICK_MODEL": "demo-embedding"}).start()
    try:
        documents = ["A river in spring.", "Notched wood that recorded what was owed.", "A debt, split in two."]
        _, reply = ask(service, "/v1/rerank", query="What is a tally stick?", documents=documents)
        assert json.loads(reply)["results"][0]["index"] in {1, 2}
        service.wait_anchored()
        evidence = tmp_path / "evidence.json"
        record_id = json.loads(reply)["tallystick"]["record_id"]
        evidence.write_bytes(service.get(f"/v1/records/{record_id}/proof").content)
        folder = str(packaged_file("demo-embedding").parent)
        again = tallystick("verify", "--model", folder, "--replay", str(evidence), *service.trusted())
        assert again.returncode == 0, again.stdout + again.stderr
    finally:
        service.stop()
