"""Every address of the compatible clients, asked of real processes: each saved answer is verified, and then the whole log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.service import Service, tallystick

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("system")]

TURNS = {"messages": [{"role": "user", "content": "Say hello"}]}
PROXY, HOSTED = "/models/{model}/proxy/v1", "/hosted/{model}/v1"
ASKED = [
    (f"{PROXY}/chat/completions", {"inputs": "What is Deep Learning?", "max_new_tokens": 20, "do_sample": False}),
    (f"{PROXY}/chat/completions", TURNS | {"chat_template": "{{ messages[0].content }}"}),
    (f"{PROXY}/classify", {"inputs": "this is good!"}),
    ("/models/{model}/proxy/predict", {"inputs": ["Abu Dhabi is great!", "a"]}),
    (f"{PROXY}/translate", {"text": "A man walking on the moon"}),
    (f"{PROXY}/embed", {"inputs": "What is Deep Learning?"}),
    (
        f"{PROXY}/rerank",
        {"query": "What is Deep Learning?", "texts": ["Deep Learning is not...", "Deep learning is..."]},
    ),
    ("/v1/service/llm/v1/chat/completions", {"model": "{model}", **TURNS}),
    ("/triteia/v1/completions", {"model": "{model}", "prompt": "Once"}),
    ("/triteia/v1/embeddings", {"model": "{model}", "input": "Once"}),
    ("/inferencia/v1/predict", {"model_name": "{model}", "data": [{"text": ["You look amazing today,"], "top_k": 3}]}),
    (f"{HOSTED}/predict", {"inputs": ["Below is an instruction"], "parameters": {"temperature": 0}}),
    (f"{HOSTED}/predict", {"inputs": [["Represent the Science title:", "3D ActionSLAM"]]}),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(home=tmp_path_factory.mktemp("home")).start()
    yield running
    running.stop()


def test_each_answer_and_then_the_whole_log_is_verified(service: Service, tmp_path: Path) -> None:
    saved = []
    for at, (path, body) in enumerate(ASKED):
        target = path.replace("{model}", service.model)
        sent = json.dumps(body).replace("{model}", service.model).encode()
        headers = service.headers | {"content-type": "application/json"}
        reply = httpx.post(service.base_url + target, headers=headers, content=sent, timeout=60)
        assert reply.status_code == 200, (target, reply.text)
        request, answer = tmp_path / f"{at}.request.json", tmp_path / f"{at}.json"
        request.write_bytes(sent)
        answer.write_bytes(reply.content)
        saved.append((target, request, answer))
    service.wait_anchored()
    for target, request, answer in saved:
        told = ("--request", str(request), "--request-target", target)
        checked = tallystick("verify", str(answer), *told, *service.trusted(), *service.node()[:2])
        assert checked.returncode == 0, (target, checked.stdout + checked.stderr)
    whole = service.verify(*service.trusted())
    assert whole.returncode == 0, whole.stdout + whole.stderr
