"""The started service: readiness, and an end in which nothing under way is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tallystick_platform.admission import Gate
from tallystick_platform.anchor.status import AnchorStatus
from tallystick_platform.app import service as service_module
from tallystick_platform.app.service import Service
from tallystick_platform.app.starting import Running
from tallystick_platform.errors import Draining
from tallystick_platform.keyring import Keyring
from tallystick_platform.settings import Settings
from tests.support.exchange import LOCATION, PRINCIPAL, WRITER, Bench

STATUS = AnchorStatus(
    halted=False,
    error=None,
    error_type=None,
    unanchored_records=0,
    unanchored_bytes=0,
    lag_ms=0,
    looked_at_us=None,
    gas_used=0,
    gas_per_record=None,
    batches={},
    last_confirmed_index=None,
    sends=0,
    signatures=0,
    fee_bumps=0,
    reverts=0,
    reorgs=0,
)


class Rig(Bench):
    """A service over fakes, with the real gate."""

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.gate = Gate(max_concurrent=9, max_per_token=9, max_unanchored=9, depth=lambda: 0, clock=self.clock)
        self.parts.gate = self.gate
        self.status = STATUS
        self.size = self.anchored = 0
        self.journaled = SimpleNamespace(counts=lambda: SimpleNamespace(size=self.size), fault=None, held=None)
        self.registrar = SimpleNamespace(at_work=False, ended=self._ended)
        self.registered = asyncio.Event()
        self.registered.set()
        self.dispatcher.ready = True
        self.dispatcher.last_fault = None
        self.dispatcher.wait_ready = self._wait_ready
        running = Running(
            settings=Settings(**settings),
            clock=self.clock,
            metrics=self.metrics,
            keys=Keyring(operator=WRITER, auditors=()),
            rpc_url="http://127.0.0.1:1",
            location=LOCATION,
            journal=self.journaled,
            batches=_Batches(self),
            tokens=None,
            answers=None,
            client_file=None,
            anchoring=SimpleNamespace(status=lambda: self.status),
            registry=None,
            models=None,
            dispatcher=self.dispatcher,
            registrar=self.registrar,
            gate=self.gate,
            exchange=self.exchange,
            exports=SimpleNamespace(stop=self._wait_ready),
            downloads=None,
            working=SimpleNamespace(jobs=SimpleNamespace(drain=lambda: None), files=None),
        )
        self.service = Service(running)

    async def _wait_ready(self) -> None:
        return

    async def _ended(self) -> None:
        await self.registered.wait()


class _Batches:
    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    @property
    def anchored_size(self) -> int:
        return self._rig.anchored


async def test_a_service_with_a_worker_is_ready() -> None:
    found = await Rig().service.readiness()
    assert (found.status, found.parts) == (
        "ready",
        {"admission": "ok", "anchoring": "ok", "journal": "ok", "registration": "ok", "workers": "ok"},
    )


async def test_without_a_worker_it_is_not_and_says_why() -> None:
    rig = Rig()
    rig.dispatcher.ready = False
    assert (await rig.service.readiness()).parts["workers"] == "not ready: loading"
    rig.dispatcher.last_fault = "exit code 1"
    found = await rig.service.readiness()
    assert (found.status, found.parts["workers"]) == ("not ready", "not ready: exit code 1")


async def test_it_is_not_ready_and_announces_nothing_while_its_model_is_being_registered() -> None:
    rig = Rig()
    rig.registrar.at_work = True
    rig.registered.clear()
    found = await rig.service.readiness()
    assert (found.status, found.parts["registration"]) == ("not ready", "not ready: the model is being registered")
    announced = asyncio.create_task(rig.service.ready("http://127.0.0.1:8000"))
    await asyncio.wait([announced], timeout=0.01)
    assert not announced.done()
    rig.registered.set()
    assert (await announced).model == "test/model"


async def test_a_journal_that_does_not_write_makes_it_unready() -> None:
    rig = Rig()
    rig.journaled.fault = "the last group could not be written"
    found = await rig.service.readiness()
    assert (found.status, found.parts["journal"]) == ("not ready", "not ready: the last group could not be written")


async def test_a_log_that_is_not_compared_with_its_chain_is_unready_and_says_so_once() -> None:
    rig = Rig()
    rig.journaled.fault = rig.journaled.held = "the journal is not compared with its chain yet"
    found = await rig.service.readiness()
    assert (found.status, found.parts["admission"], found.parts["journal"]) == (
        "not ready",
        "closed: the journal is not compared with its chain yet",
        "ok",
    )


async def test_a_chain_that_is_waited_for_does_not_make_it_unready_and_a_halt_does() -> None:
    rig = Rig()
    rig.status = replace(STATUS, error="no answer")
    assert (await rig.service.readiness()).status == "ready"
    rig.status = replace(STATUS, error="head mismatch", halted=True)
    found = await rig.service.readiness()
    assert (found.status, found.parts["anchoring"]) == ("not ready", "halted: head mismatch")


async def test_a_drain_lets_what_is_under_way_finish() -> None:
    rig = Rig()
    pause = rig.dispatcher.script.pauses[0] = asyncio.Event()
    asked = asyncio.create_task(rig.line().run())
    await until(lambda: rig.dispatcher.generations)
    draining = asyncio.create_task(rig.service.drain())
    await until(lambda: rig.gate.draining)
    assert (await rig.service.readiness()).status == "not ready"
    with pytest.raises(Draining):
        rig.gate.enter(PRINCIPAL.token_id)
    pause.set()
    await draining
    assert (await asked).failure is None


async def test_a_drain_ends_what_does_not_finish_within_its_bound_and_records_it() -> None:
    rig = Rig(drain_timeout_s=0.01)
    rig.dispatcher.script.pauses[0] = asyncio.Event()
    asked = asyncio.create_task(rig.line().run())
    await until(lambda: rig.dispatcher.generations)
    await rig.service.drain()
    await asked
    assert rig.journal.only.error.code == "server_stopped"


async def test_a_drain_waits_for_the_chain_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.size, rig.anchored = 2, 1
    draining = asyncio.create_task(rig.service.drain())
    await until(lambda: rig.gate.draining)
    assert not draining.done()
    rig.anchored = 2
    await asyncio.wait_for(draining, 5)
    rig.anchored = 1
    monkeypatch.setattr(service_module, "ANCHOR_LIMIT_S", 0.01)
    await asyncio.wait_for(rig.service.drain(), 5)


async def test_the_banner_shows_no_key_of_a_node() -> None:
    rig = Rig(
        chain_rpc="https://user:pass@node.example/v3/secret-key", contract="0x" + "11" * 20, log_id="0x" + "22" * 32
    )
    ready = await rig.service.ready("http://127.0.0.1:8000")
    assert ready.rpc_url == "https://node.example/[redacted]"
    assert ready.model == "test/model"


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
