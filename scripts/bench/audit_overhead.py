"""CPU per request that the ledger adds to the same Litestar handler, with the model replaced by a constant answer.

Both sides are served by the same server in this process, take turns, and get the same requests from another process: 64
connections that each ask again as soon as they are answered. The plain side does all that the product does but for the ledger: it reads,
authenticates, passes the gate, watches the client and the clock, asks the constant model and encodes the answer. The ledger side is the
product: two durable commits on a real disk, sealing, receipt, and everything around them. CPU is this process's over all its threads,
user and system, so the journal's writer thread and its fsyncs are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from litestar.types import ASGIApp

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "ledger"), str(ROOT / "platform")]

from tallystick.ids import Address, LogId  # noqa: E402
from tallystick.keys import AuditorKey, Wallet  # noqa: E402
from tallystick.receipts import Domain  # noqa: E402
from tallystick_platform.admission import Gate  # noqa: E402
from tallystick_platform.api import Services, create_api  # noqa: E402
from tallystick_platform.api.chat import PATH  # noqa: E402
from tallystick_platform.api.proofs import ProofEncoder  # noqa: E402
from tallystick_platform.api.services import Readiness  # noqa: E402
from tallystick_platform.app.randomness import RandomPool  # noqa: E402
from tallystick_platform.auth import Authenticator  # noqa: E402
from tallystick_platform.clock import SystemClock  # noqa: E402
from tallystick_platform.dispatch import Generation, Placement, ProviderInfo  # noqa: E402
from tallystick_platform.exchange import Exchange, Parts  # noqa: E402
from tallystick_platform.logs import configure_logs  # noqa: E402
from tallystick_platform.metrics import Metrics  # noqa: E402
from tallystick_platform.protocol import (  # noqa: E402
    Finished,
    GenerationRequest,
    GpuInfo,
    ModelInfo,
    Started,
    TextDelta,
)
from tallystick_platform.sealing import LedgerSealer  # noqa: E402
from tallystick_platform.store.database import Database  # noqa: E402
from tallystick_platform.store.journal import Journal  # noqa: E402
from tallystick_platform.store.row_macs import RowMacs  # noqa: E402
from tallystick_platform.store.tokens import TokenStore  # noqa: E402
from tests.support.plain_side import PlainSide, plain_api, served  # noqa: E402

BAR_US = 150.0
CONNECTIONS = 64
TIMEOUT_S = 120.0
QUESTION = "Why do people keep receipts? Answer in one sentence, please."
ANSWER = "Receipts let either side of a deal show later what was agreed, paid and delivered, without trusting the other's memory."
MODEL = ModelInfo(
    id="constant",
    version="1",
    task="chat",
    weights_digest=bytes(32),
    engine="constant",
    engine_version="1",
    dtype="none",
    quantisation=None,
    device="cpu",
    context_length=8_192,
    max_prompt_tokens=8_191,
    chat_template=None,
    chat_template_digest=bytes(32),
    reproducibility="reproducible",
    created_at=0,
)


class ConstantDispatcher:
    """Every request gets the same answer at once."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._placement = Placement(
            model=MODEL,
            provider=ProviderInfo(
                id="local", name="Local", address=bytes(20), price_per_hour_micros=500_000, currency="USD"
            ),
            gpu=GpuInfo(kind="cpu", name="none", uuid=None, count=1, memory_bytes=0, driver=None),
            worker="constant",
        )

    def models(self) -> list[ModelInfo]:
        return [MODEL]

    def select(self, model_id: str) -> Placement:
        assert model_id == MODEL.id
        return self._placement

    def start(self, placement: Placement, request: GenerationRequest) -> Generation:
        generation = Generation(worker=placement.worker, now_us=self._clock.now_us, cancel=lambda: None)
        generation.feed(Started(request.request_id, 12))
        generation.feed(TextDelta(request.request_id, ANSWER, 24, 400))
        generation.feed(Finished(request.request_id, "stop", 12, 24, 400))
        return generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The two applications and the token that both take."""

    plain: ASGIApp
    ledger: ASGIApp
    token: str
    journal: Journal


@asynccontextmanager
async def sides(home: Path) -> AsyncIterator[Sides]:
    clock, metrics, wallet = SystemClock(), Metrics(), Wallet.generate()
    async with AsyncExitStack() as stack:
        database = Database.open(home / "journal.sqlite")
        stack.callback(database.close)
        database.lock()
        macs = RowMacs(wallet.secret)
        domain = Domain(chain_id=73_571, contract=Address(bytes(20)))
        sealer = LedgerSealer(
            wallet=wallet,
            domain=domain,
            log_id=LogId(bytes(32)),
            auditors=(AuditorKey.generate().public,),
            keys_dir=home / "epochs",
            epoch_seconds=86_400,
        )
        journal = Journal(database, sealer, macs, clock=clock, anchor_deadline_s=3_600, metrics=metrics)
        await journal.start()
        stack.push_async_callback(journal.close)
        tokens = TokenStore(database, macs)
        token = tokens.create(name="bench", address=Address(bytes(19) + b"\x01"), now_us=clock.now_us()).token
        gate = Gate(max_concurrent=256, max_per_token=256, max_unanchored=10**9, depth=lambda: journal.counts().size)
        dispatcher = ConstantDispatcher(clock)
        parts = Parts(
            journal=journal, dispatcher=dispatcher, gate=gate, clock=clock, random=RandomPool(), metrics=metrics
        )

        async def ready() -> Readiness:
            return Readiness(ready=True, parts={})

        services = Services(
            exchange=Exchange(parts),
            authenticator=Authenticator(tokens, clock),
            proofs=ProofEncoder(domain=domain, writer=wallet.address),
            records=journal,
            ledger=None,  # type: ignore[arg-type]  # no request of this measurement asks for it
            readiness=ready,
            metrics=metrics,
            clock=clock,
            provider=lambda _: {},
            random=RandomPool(),
            max_body_bytes=1_048_576,
            request_timeout_s=TIMEOUT_S,
        )
        plain = PlainSide(services=services, dispatcher=dispatcher, gate=gate, clock=clock, random=parts.random)
        yield Sides(plain=plain_api(plain), ledger=create_api(services), token=token, journal=journal)


async def measure(port: int, token: str, requests: int) -> tuple[float, float]:
    """CPU microseconds and wall-clock microseconds per request. The process that asks is not counted."""
    asking = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "--ask",
        json.dumps({"port": port, "token": token, "requests": requests}),
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.PIPE,
    )
    assert asking.stdout is not None
    assert asking.stdin is not None
    assert (await asking.stdout.readline()) == b"connected\n"
    cpu, wall = time.process_time(), time.perf_counter()
    asking.stdin.write(b"go\n")
    await asking.stdin.drain()
    assert (await asking.stdout.readline()) == b"done\n"
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await asking.wait()
    return cpu * 1e6 / requests, wall * 1e6 / requests


async def ask(port: int, token: str, requests: int) -> None:
    """The asking process: every connection asks again as soon as it has its answer."""
    body = json.dumps(
        {"model": MODEL.id, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 60}
    ).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: "
    raw = head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body
    left = requests
    pipes = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    print("connected", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            writer.write(raw)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*[one(reader, writer) for reader, writer in pipes])
    print("done", flush=True)


async def compare(rounds: int, requests: int) -> list[tuple[float, float, float]]:
    """Rounds of (plain CPU, ledger CPU, ledger wall), each in microseconds per request."""
    found = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TALLYSTICK_BENCH_DIR")) as folder:
        async with sides(Path(folder)) as both, served(both.plain) as plain, served(both.ledger) as ledger:
            await measure(plain, both.token, requests // 4)
            await measure(ledger, both.token, requests // 4)
            for number in range(rounds):
                plain_cpu, _ = await measure(plain, both.token, requests)
                ledger_cpu, ledger_wall = await measure(ledger, both.token, requests)
                found.append((plain_cpu, ledger_cpu, ledger_wall))
                print(
                    f"  round {number + 1}: plain {plain_cpu:.0f} us, with ledger {ledger_cpu:.0f} us CPU a request"
                    f" ({1e6 / ledger_wall:.0f} requests/s)",
                    flush=True,
                )
            assert both.journal.counts().open == 0
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer requests, for CI")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        given = json.loads(arguments.ask)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(ask(**given))
        return 0
    rounds, requests = (3, 2_000) if arguments.short else (7, 6_000)
    with Path(os.devnull).open("w") as nowhere, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        configure_logs("info", nowhere)  # the access log is written on both sides
        found = runner.run(compare(rounds, requests))
    added = statistics.median(ledger - plain for plain, ledger, _ in found)
    plain, ledger = (statistics.median(column) for column in list(zip(*found, strict=True))[:2])
    held = added <= BAR_US
    print(f"CPU per request: plain handler {plain:.0f} us, with ledger {ledger:.0f} us, ratio {ledger / plain:.2f}")
    print(f"audit work per request: {added:.0f} us CPU (bar: at most {BAR_US:.0f} us) {'ok' if held else 'MISSED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
