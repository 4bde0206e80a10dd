"""CPU per request that the ledger adds to the same Litestar handler, with the model replaced by a constant answer.

Both sides run in this process, in short turns, and are asked by 64 clients that each ask again as soon as they are answered. The plain
side does all that the product does but for the ledger: it reads, authenticates, passes the gate, watches the client and the clock,
asks the constant model and encodes the answer. The ledger side is the product: two durable commits on a real disk, sealing, receipt, and
everything around them. CPU is this process's over all its threads, user and system, so the journal's writer thread is counted. There is
no network: it costs the same on both sides, and more than either.

Beside it stands what no arrangement of the work can save: the cryptographic primitives that one record needs, each called straight from
its library as often as a record calls it. Machines differ by a factor of three in these alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvloop
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from harness import judged, options
from litestar.types import ASGIApp

from tallystick.compression import compress
from tallystick.encoding import encode_fields, encode_record
from tallystick.hashing import keccak256
from tallystick.ids import Address
from tallystick.keys import Wallet
from tallystick.record import FIELD_NAMES
from tallystick.sealing import pad
from tallystick_platform.admission import Gate
from tallystick_platform.api import Services, create_api
from tallystick_platform.api.services import ProviderView, Readiness
from tallystick_platform.api.wire.openai import CHAT
from tallystick_platform.app.economy import RandomPool, settle_memory
from tallystick_platform.auth import Authenticator
from tallystick_platform.clock import SystemClock
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.dispatch.link import Claim, Link
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.logs import configure_logs
from tallystick_platform.metrics import Metrics
from tallystick_platform.protocol import (
    PROTOCOL_VERSION,
    Finished,
    Hello,
    ModelInfo,
    Piece,
    Started,
    StepReport,
    Submit,
    ToWorker,
)
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.tokens import TokenStore
from tests.support.exchange import MODEL, PLACEMENT
from tests.support.journals import Running as RunningJournal
from tests.support.journals import Setting
from tests.support.plain_side import PlainSide, plain_api
from tests.support.typical_record import typical_record

BAR_US = 150.0
CONCURRENT = 64
TIMEOUT_S = 120.0
QUESTION = "Why do people keep receipts? Answer in one sentence, please."
ANSWER = "Receipts let either side of a deal show later what was agreed, paid and delivered, without trusting the other's memory."
PROVIDER = ProviderView(
    id="local", name="Local", address="0x" + "0" * 40, price_per_hour_micros=500_000, currency="USD"
)


class ConstantDispatcher:
    """Every request gets the same answer at once, over a link without a worker behind it."""

    def __init__(self, clock: SystemClock) -> None:
        self._link = Link(
            worker_id="constant",
            hello=Hello(
                protocol_version=PROTOCOL_VERSION, pid=0, model=MODEL, gpu=PLACEMENT.gpu, max_requests=CONCURRENT
            ),
            provider=PLACEMENT.provider,
            send=self._answer,
            clock=clock,
        )

    def models(self) -> list[ModelInfo]:
        return [MODEL]

    async def claim(self, reference: str, viewer: Address | None, task: str) -> Claim:  # noqa: ARG002
        assert (reference, task) == (MODEL.id, MODEL.task)
        return self._link.claim()

    def _answer(self, message: ToWorker) -> None:
        if isinstance(message, Submit):
            request_id, usage = message.call.request_id, {"input_tokens": 12, "output_tokens": 24}
            piece = Piece(request_id, ANSWER, usage, 400)
            self._link.take(StepReport([Started(request_id, usage), piece, Finished(request_id, "stop", usage, 400)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The two applications and the token that both take."""

    plain: ASGIApp
    ledger: ASGIApp
    token: str
    journal: Journal


@asynccontextmanager
async def sides(home: Path) -> AsyncIterator[Sides]:
    clock, metrics = SystemClock(), Metrics()
    setting = Setting(home, clock=clock)  # type: ignore[arg-type]  # the machine's, where tests have their own
    running = RunningJournal(setting, metrics=metrics)  # type: ignore[arg-type]  # whatever a journal takes
    async with running as journal:
        tokens = TokenStore(running.database, setting.macs)
        token = tokens.create(name="bench", address=Address(bytes(19) + b"\x01"), now_us=clock.now_us()).token
        gate = Gate(
            max_concurrent=256,
            max_per_token=256,
            max_unanchored=10**9,
            depth=lambda: journal.counts().size,
            clock=clock,
        )
        dispatcher = cast(Dispatcher, ConstantDispatcher(clock))  # as much of one as a request asks for
        parts = Parts(
            journal=journal, dispatcher=dispatcher, gate=gate, clock=clock, random=RandomPool(), metrics=metrics
        )

        async def ready() -> Readiness:
            return Readiness(status="ready", parts={})

        services = Services(
            exchange=Exchange(parts),
            authenticator=Authenticator(tokens, clock),
            records=journal,
            answers=None,  # type: ignore[arg-type]  # no request of this measurement asks for it, nor for the next seven
            ledger=None,  # type: ignore[arg-type]
            models=None,  # type: ignore[arg-type]
            exports=None,  # type: ignore[arg-type]
            downloads=None,  # type: ignore[arg-type]
            jobs=None,  # type: ignore[arg-type]
            files=None,  # type: ignore[arg-type]
            loading=None,  # type: ignore[arg-type]
            readiness=ready,
            metrics=metrics,
            clock=clock,
            provider=lambda _: PROVIDER,
            random=RandomPool(),
            max_body_bytes=1_048_576,
            max_media_bytes=1_048_576,
            request_timeout_s=TIMEOUT_S,
            longest_work_s=TIMEOUT_S,
        )
        plain = PlainSide(services=services, dispatcher=dispatcher, gate=gate)
        yield Sides(plain=plain_api(plain), ledger=create_api(services), token=token, journal=journal)


class Client:
    """Asks an application as a server would, without a network: what that costs is the same on both sides, and drowns the rest."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._body = json.dumps(
            {"model": MODEL.id, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 60}
        ).encode()
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": CHAT.routes[0],
            "raw_path": CHAT.routes[0].encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [
                (b"host", b"bench"),
                (b"authorization", b"Bearer " + token.encode()),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(self._body)).encode()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }

    async def ask(self) -> None:
        """One request; returns when its answer is complete."""
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        messages = [{"type": "http.request", "body": self._body, "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await answered
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                assert message["status"] == 200, message
            elif not message["more_body"]:
                answered.set_result(None)

        await self._app(dict(self._scope), receive, send)  # type: ignore[arg-type]

    async def cpu_per_request_us(self, requests: int) -> float:
        """CPU of the whole process, over all threads, while CONCURRENT clients ask `requests` times."""
        left = requests

        async def one() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await self.ask()

        began = time.process_time()
        await asyncio.gather(*[one() for _ in range(CONCURRENT)])
        return (time.process_time() - began) * 1e6 / requests


def primitives_us(calls: int) -> float:
    """CPU of the library calls that one record needs: signatures, compression, encryption, hashes, MACs. The median of many."""
    record = typical_record()
    fields, data = encode_fields(record), encode_record(record)
    wallet, cipher, keyed = Wallet.generate(), AESGCM(bytes(32)), hmac.new(bytes(32), digestmod=hashlib.sha256)
    row_key = hashlib.blake2b(key=bytes(64), digest_size=64)
    committed = [bytes(33) + field for field in fields]
    sealed = pad(compress(data))
    by_name = dict(zip(FIELD_NAMES, fields, strict=True))
    hashed = (
        *(705, len(sealed) + 16, 130),  # root, ciphertext, leaf
        *(320, 66, 224, 66),  # receipt, admission
        *(
            4,
            20,
            16,
            len(by_name["request"]) - 107,
            128,
            49,
        ),  # method, target, content type, body, their digest, the hash
        *(len(by_name["error"]) + len(by_name["response"]), 65),  # the outcome, the hash
    )
    spent = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        wallet.sign_digest(bytes(32))  # the admission
        wallet.sign_digest(bytes(32))  # the receipt
        compress(data)
        cipher.encrypt(bytes(12), sealed, b"")  # the record
        cipher.encrypt(bytes(12), data, b"")  # the draft
        hashlib.shake_256(bytes(52)).digest(704)
        for one in committed:
            keccak256(one)
        for size in hashed:
            keccak256(bytes(size))
        for size in (len(data) + 40, 64, 64):  # the nonce, two keys
            mac = keyed.copy()
            mac.update(bytes(size))
            mac.digest()
        for size in (400, 1_600):  # two rows
            mark = row_key.copy()
            mark.update(bytes(size))
            mark.digest()
        spent.append((time.perf_counter_ns() - began) / 1_000)
    return statistics.median(spent)


async def compare(rounds: int, requests: int) -> list[tuple[float, float]]:
    """Rounds of (plain, with ledger), each in CPU microseconds per request. Short rounds in turn, so that both see the same machine."""
    found = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TALLYSTICK_BENCH_DIR")) as folder:
        async with sides(Path(folder)) as both:
            plain, ledger = Client(both.plain, both.token), Client(both.ledger, both.token)
            for client in (plain, ledger):
                await client.cpu_per_request_us(requests * 4)
            settle_memory()  # as the server does once it is ready
            for number in range(rounds):
                turns = (plain, ledger) if number % 2 == 0 else (ledger, plain)
                used = {client: await client.cpu_per_request_us(requests) for client in turns}
                found.append((used[plain], used[ledger]))
            assert both.journal.counts().open == 0
    return found


def main() -> int:
    arguments = options(__doc__, "fewer requests, for CI").parse_args()
    rounds, requests = (20, 320) if arguments.short else (100, 640)
    with Path(os.devnull).open("w") as nowhere, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        configure_logs("info", nowhere)  # the access log is written on both sides
        found = runner.run(compare(rounds, requests))
    added = statistics.median(ledger - plain for plain, ledger in found)
    plain, ledger = (statistics.median(column) for column in zip(*found, strict=True))
    floor = primitives_us(requests * 4)
    print(f"CPU per request: plain handler {plain:.0f} us, with ledger {ledger:.0f} us, ratio {ledger / plain:.2f}")
    held = judged(f"audit work per request: {added:.0f} us CPU (bar: at most {BAR_US:.0f} us)", added <= BAR_US)
    print(f"of it the primitives alone: {floor:.0f} us; audit work is {added / floor:.1f} times that")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
