"""The main job as a user meets it: real processes, a real EVM, the real verifier, with a constant-answer engine for speed."""

from __future__ import annotations

import json
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.support.service import Service, tallystick, tallystick_server

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("system")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(home=tmp_path_factory.mktemp("home")).start()
    yield running
    running.stop()


@pytest.fixture
def log_with_blobs(tmp_path: Path) -> Iterator[Service]:
    """A log of its own: nobody who verifies the other one needs to have these blobs."""
    running = Service(home=tmp_path / "home").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(service: Service) -> openai.OpenAI:
    return openai.OpenAI(base_url=service.base_url + "/v1", api_key=service.client_file["token"], max_retries=0)


def test_the_openai_package_chats_with_only_base_url_and_key_changed(service: Service, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=service.model, messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert (answer.model_extra or {})["tallystick"]["receipt"]["signature"].startswith("0x")


def test_the_openai_package_streams_and_the_last_chunk_carries_the_receipt(
    service: Service, client: openai.OpenAI
) -> None:
    chunks = list(
        client.chat.completions.create(
            model=service.model,
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    proofs = [(c.model_extra or {}).get("tallystick") for c in chunks]
    assert proofs[-1]
    assert not any(proofs[:-1])


def test_a_stream_carries_the_admission_receipt_in_its_first_headers(service: Service) -> None:
    body = {"model": service.model, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with httpx.stream("POST", service.base_url + "/v1/chat/completions", headers=service.headers, json=body) as reply:
        assert reply.headers["X-Tallystick-Admission"]
        assert reply.headers["X-Tallystick-Record"]
        assert reply.headers["X-Tallystick-Request-Salt"]
        lines = [line for line in reply.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_every_answer_is_one_record_and_the_whole_log_verifies(service: Service) -> None:
    ids = {service.chat(f"question {n}").json()["tallystick"]["record_id"] for n in range(5)}
    assert len(ids) == 5
    service.wait_anchored()
    result = service.verify()
    assert result.returncode == 0, result.stdout + result.stderr
    verdict = json.loads(result.stdout)
    by_name = {check["name"]: check["status"] for check in verdict["checks"]}
    # Receipts, which a response is held against, were not handed to this run, and a token is the operator's word for who asked.
    expected_pass = set(by_name) - {"receipts", "response-binding", "sender-proof"}
    assert {name for name in expected_pass if by_name[name] == "pass"} == expected_pass
    assert {by_name["receipts"], by_name["response-binding"]} == {"skipped"}
    assert by_name["sender-proof"] == "not covered"


def test_a_bundle_verifies_offline_and_against_the_node_and_one_changed_byte_is_caught(
    service: Service, tmp_path: Path
) -> None:
    record_id = service.chat("for the bundle").json()["tallystick"]["record_id"]
    service.wait_anchored()
    bundle = service.get(f"/v1/records/{record_id}/proof").content
    path = tmp_path / "bundle.json"
    path.write_bytes(bundle)
    offline = tallystick("verify", str(path), *service.trusted())
    assert offline.returncode == 0, offline.stdout + offline.stderr
    assert tallystick("verify", str(path), "--trust-file", str(tmp_path / "none.toml")).returncode == 2
    online = tallystick("verify", str(path), *service.trusted(), "--rpc", service.ledger()["rpc_url"])
    assert online.returncode == 0, online.stdout + online.stderr
    sealed = json.loads(bundle)["evidence"]["sealed"].encode()
    at = bundle.index(sealed) + len(sealed) // 2
    digit = b"1" if bundle[at : at + 1] == b"0" else b"0"
    path.write_bytes(bundle[:at] + digit + bundle[at + 1 :])
    caught = tallystick("verify", str(path), *service.trusted(), "--json")
    assert caught.returncode == 1, caught.stdout + caught.stderr
    assert any(check["status"] == "fail" for check in json.loads(caught.stdout)["checks"])


def test_a_saved_answer_and_the_signed_head_hold_against_the_log(service: Service, tmp_path: Path) -> None:
    answer, head = tmp_path / "answer.json", tmp_path / "head.json"
    answer.write_bytes(service.chat("kept for later").content)
    signed = service.wait_anchored()["signed_head"]
    head.write_text(json.dumps(signed, indent=2))
    result = service.verify("--receipt", str(answer), "--head", str(head))
    assert result.returncode == 0, result.stdout + result.stderr
    by_name = {check["name"]: check["status"] for check in json.loads(result.stdout)["checks"]}
    assert by_name["receipts"] == "pass"


def test_a_large_question_lies_in_blobs_that_its_sender_fetches(log_with_blobs: Service, tmp_path: Path) -> None:
    """Random text does not compress, so that it does not fit one transaction."""
    service = log_with_blobs
    text = random.Random(7).randbytes(200_000).hex()
    answer = service.chat(text, max_tokens=4)
    assert answer.status_code == 200, answer.text
    record_id = answer.json()["tallystick"]["record_id"]
    service.wait_anchored()
    bundle, blobs = tmp_path / "bundle.json", tmp_path / "blobs"
    bundle.write_bytes(service.get(f"/v1/records/{record_id}/proof").content)
    without = tallystick("verify", str(bundle), *service.trusted(), "--blobs", str(tmp_path / "empty"))
    assert without.returncode == 2, without.stdout + without.stderr
    fetched = tallystick("fetch", str(bundle), "--service", service.base_url, "--blobs", str(blobs))
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    checked = tallystick("verify", str(bundle), *service.trusted(), "--blobs", str(blobs))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_disclosure_shows_the_chosen_fields_and_hides_the_rest(service: Service, tmp_path: Path) -> None:
    record_id = service.chat("a very secret question").json()["tallystick"]["record_id"]
    service.wait_anchored()
    whole, part = tmp_path / "whole.json", tmp_path / "part.json"
    whole.write_bytes(service.get(f"/v1/records/{record_id}/proof").content)
    made = tallystick("disclose", str(whole), "--fields", "model,gpu,price", "-o", str(part))
    assert made.returncode == 0, made.stderr
    checked = tallystick("verify", str(part), *service.trusted())
    assert checked.returncode == 0, checked.stdout + checked.stderr
    shown = tallystick("show", str(part))
    assert service.model in shown.stdout
    assert "secret" not in part.read_text() + shown.stdout


def test_another_sender_cannot_see_the_record(service: Service) -> None:
    record_id = service.chat("mine").json()["tallystick"]["record_id"]
    made = tallystick_server(service, "token", "create", "--name", "other", "--address", "0x" + "22" * 20, "--json")
    assert made.returncode == 0, made.stderr
    token = json.loads(made.stdout)["token"]
    reply = httpx.get(f"{service.base_url}/v1/records/{record_id}", headers={"Authorization": f"Bearer {token}"})
    assert reply.status_code == 404


def test_secrets_are_readable_by_their_owner_alone(service: Service) -> None:
    keys = [path for path in (service.home / "keys").rglob("*") if path.is_file()]
    assert {path.name for path in keys} >= {"operator.key", "auditor.key", "auditor.pub", "client.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_no_secret_stands_in_the_server_log_or_the_database(service: Service) -> None:
    service.chat("a needle in the haystack")
    client = service.client_file
    operator = (service.home / "keys" / "operator.key").read_text().strip().rpartition(":")[2]
    everything = b"".join(
        path.read_bytes() for path in service.home.rglob("*") if path.is_file() and "keys" not in path.parts
    )
    for secret in (client["token"], client["private_key"].removeprefix("0x"), operator, "a needle in the haystack"):
        assert secret.encode() not in everything
        if all(digit in "0123456789abcdef" for digit in secret):
            assert bytes.fromhex(secret) not in everything


def test_the_banner_names_what_a_user_needs(service: Service) -> None:
    banner = service.log_path.read_text()
    ledger = service.ledger()
    for part in (
        service.base_url,
        "/schema",
        ledger["rpc_url"],
        ledger["contract"],
        ledger["log_id"],
        str(service.home / "keys"),
        "curl ",
    ):
        assert part in banner, part


def test_a_stopped_server_starts_again_over_the_same_log(tmp_path: Path) -> None:
    service = Service(home=tmp_path / "home").start()
    first = service.chat("before").json()["tallystick"]["index"]
    log_id = service.ledger()["log_id"]
    assert service.stop() == 0
    service.start()
    try:
        assert service.ledger()["log_id"] == log_id
        assert service.chat("after").json()["tallystick"]["index"] == first + 1
        service.wait_anchored()
        assert service.verify().returncode == 0
    finally:
        service.stop()
