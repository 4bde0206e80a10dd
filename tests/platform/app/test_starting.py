"""The whole service in this process over a real chain, journal and worker, with the engine that answers without a model."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from tallystick.bundle.reading import parse_bundle
from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.heads import derive_log_id
from tallystick.ids import to_hex
from tallystick.merkle import leaf_hash, root_from_path
from tallystick.receipts.signed import SignedHead, SignedReceipt, signer
from tallystick.record import State
from tallystick.sealing import open_sealed
from tallystick_platform.api import create_api
from tallystick_platform.app.service import Service
from tallystick_platform.app.starting import Running, _check_promise, started
from tallystick_platform.errors import SettingsError, StoreLocked
from tallystick_platform.exchange.faults import ServerStopped
from tallystick_platform.settings import Settings
from tests.support.exchange import HTTP, LOCATION, PRINCIPAL, ask

pytestmark = [pytest.mark.xdist_group("system")]

BASE_URL = "http://127.0.0.1:8000"
QUESTION = {"model": "constant", "messages": [{"role": "user", "content": "Hello"}]}


def settings(home: Path) -> Settings:
    return Settings(home=home, model="constant", chain_port=0, batch_max_age_ms=50)


async def until(look, limit_s: float = 30):
    async with asyncio.timeout(limit_s):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.05)


async def test_one_question_goes_all_the_way_and_its_evidence_holds(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    async with started(settings(tmp_path), base_url=BASE_URL) as running:
        with pytest.raises(StoreLocked):
            async with started(settings(tmp_path), base_url=BASE_URL):
                pass
        service = Service(running)
        await running.dispatcher.wait_ready()
        token = httpx.Response(200, content=running.client_file.read_bytes()).json()["token"]
        transport = httpx.ASGITransport(create_api(service.services))
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as client:
            assert (await client.get("/readyz")).status_code == 200
            proof = (await client.post("/v1/chat/completions", json=QUESTION)).json()["tallystick"]
            path = f"/v1/records/{proof['record_id']}"

            async def anchored():
                found = (await client.get(path)).json()
                return found if found["state"] in {"anchored", "final"} else None

            status = await until(anchored)
            bundle = parse_bundle((await client.get(path + "/proof")).content)
            closed = parse_bundle((await client.get(path + "/proof?secret=false")).content)
            ledger = (await client.get("/v1/ledger")).json()
            batch = (await client.get(f"/v1/ledger/batches/{status['batch']}")).json()
            batches = (await client.get("/v1/ledger/batches")).json()["data"]
            metrics = (await client.get("/metrics")).text
        check_evidence(bundle, proof)
        assert closed.record_secret is None
        with closing(HttpTransport(running.rpc_url)) as node:
            state = LedgerReader(node, running.location.contract, running.location.log_id).log_state()
        assert (ledger["size"], ledger["head"], ledger["writer"]) == (1, to_hex(state.head), proof["receipt"]["signer"])
        assert batches == [batch]
        signed = SignedHead.from_json(ledger["signed_head"])
        assert (signed.head.entries, signed.head.size, signed.head.head) == (state.entries, 1, state.head)
        assert to_hex(signer(signed)) == ledger["writer"].lower()
        assert ledger["terms"]["promise"] == running.location.terms.promise
        assert (
            derive_log_id(running.location.chain_id, running.location.contract, bundle.evidence.terms)
            == running.location.log_id
        )
        assert batch["tx_hash"] == to_hex(bundle.evidence.anchor.tx_hash)
        assert batch["confirmations"] >= 0
        assert "tallystick_workers_ready 1.0" in metrics
        await service.drain()
        service.close()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert [child for child in left if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


def check_evidence(bundle, proof: dict) -> None:
    evidence = bundle.evidence
    anchor = evidence.anchor
    leaf = evidence.receipt.receipt.leaf
    assert leaf == leaf_hash(evidence.log_id, evidence.index, evidence.fields_root, evidence.sealed)
    assert SignedReceipt.from_json(proof["receipt"]) == evidence.receipt
    assert root_from_path(leaf, evidence.index - anchor.first_index, anchor.count, anchor.path) == anchor.root
    assert to_hex(bundle.record_secret) == proof["record_secret"]
    opened = open_sealed(
        evidence.sealed,
        log_id=evidence.log_id,
        index=evidence.index,
        epoch=evidence.epoch,
        fields_root=evidence.fields_root,
        secret=bundle.record_secret,
    )
    assert opened.record.prompt["messages"][0]["content"] == "Hello"
    assert opened.record.response.outputs[0].content["content"]
    assert opened.record.request.target == "/v1/chat/completions"
    assert opened.record.time.started_at + opened.record.price.device_time_us <= opened.record.time.finished_at
    assert opened.record.gpu.kind in {"cpu", "gpu"}


def test_settings_that_do_not_fit_an_existing_log_stop_the_start_by_name() -> None:
    short = replace(LOCATION, terms=replace(LOCATION.terms, promise=200))
    _check_promise(Settings(request_timeout_s=100), short)
    with pytest.raises(SettingsError, match=r"TALLYSTICK_REQUEST_TIMEOUT_S: .* within 200 s .* 100 s at most"):
        _check_promise(Settings(request_timeout_s=100.5), short)


class Client:
    """A client of a service in this process."""

    def __init__(self, running: Running, service: Service) -> None:
        self._token = json.loads(running.client_file.read_text())["token"]
        self._transport = httpx.ASGITransport(create_api(service.services))

    async def ask(self, method: str, path: str, **given: object) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._token}"}
        async with httpx.AsyncClient(transport=self._transport, base_url=BASE_URL, headers=headers) as client:
            return await client.request(method, path, **given)

    async def anchored(self) -> str:
        """Ask a question and wait until it is on the chain; gives the record's id."""
        asked = await self.ask("POST", "/v1/chat/completions", json=QUESTION)
        record_id = str(asked.json()["tallystick"]["record_id"])

        async def stands() -> bool:
            return (await self.ask("GET", f"/v1/records/{record_id}")).json()["state"] in {"anchored", "final"}

        await until(stands)
        return record_id


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[Client]:
    async with started(settings(home), base_url=BASE_URL) as running:
        with closing(Service(running)) as service:
            await running.dispatcher.wait_ready()
            yield Client(running, service)
            await service.drain()


async def test_a_journal_that_was_restored_from_a_backup_is_shown_and_admits_nothing(tmp_path: Path) -> None:
    home, backup = tmp_path / "home", tmp_path / "backup"
    async with serving(home) as client:
        first = await client.anchored()
    shutil.copytree(home / "journal", backup)
    async with serving(home) as client:
        await client.anchored()
    shutil.rmtree(home / "journal")
    shutil.copytree(backup, home / "journal")
    async with serving(home) as client:
        refused = await client.ask("POST", "/v1/chat/completions", json=QUESTION)
        ready = await client.ask("GET", "/readyz")
        models = (await client.ask("GET", "/v1/models")).json()["data"]
        shown = await client.ask("GET", f"/v1/records/{first}")
        ledger = (await client.ask("GET", "/v1/ledger")).json()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "admission_closed")
    assert int(refused.headers["retry-after"]) > 0
    assert (ready.status_code, ready.json()["parts"]["admission"].startswith("closed: ")) == (503, True)
    assert [model["id"] for model in models] == ["constant"]
    assert (shown.status_code, shown.json()["admission_seq"]) == (200, 1)
    assert (ledger["journal_size"], ledger["size"]) == (1, 2)
    assert ledger["signed_head"] is None or ledger["signed_head"]["head"]["size"] <= 1


async def test_what_is_under_way_when_the_service_ends_at_once_says_that_the_server_stopped(tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def stuck(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    async with started(settings(tmp_path), base_url=BASE_URL) as running:
        await running.dispatcher.wait_ready()
        line = running.exchange.infer(
            principal=replace(PRINCIPAL, token_id=json.loads(running.client_file.read_text())["token"][:36]),
            asked=ask(model="constant"),
            http=replace(HTTP, streamed=True),
            timeout_s=60,
            deliver=stuck,
        )
        asked = asyncio.create_task(line.run())
        await reached.wait()
    recorded = await asked
    assert (recorded.record.state, recorded.record.error.code) == (State.FAILED, "server_stopped")
    assert isinstance(recorded.failure, ServerStopped)
