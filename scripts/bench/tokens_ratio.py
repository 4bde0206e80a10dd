"""Tokens per second with the ledger on, against the same handler with the ledger off: same server, worker, model and requests.

The service runs whole: embedded chain, anchoring, journal, one worker with the packaged model. Streams ask side by side from another
process; the two sides take turns, and a round begins only when everything of the round before is on the chain. Requests ask for a
fixed number of tokens with fixed seeds, so both sides compute the same.
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
from pathlib import Path

import uvloop
from harness import in_client, judged, options, whole_service

from tallystick_platform.api import create_api
from tallystick_platform.api.wire.openai import CHAT
from tallystick_platform.app.starting import Running
from tallystick_platform.logs import configure_logs
from tests.support.plain_side import PlainSide, plain_api, served

BAR = 0.98
STREAMS = 8
SETTLE_POLL_S = 0.05
QUESTION = "Tell a long story about a miller, a debt and a stick that was split in two."


async def measure(port: int, token: str, model: str, max_tokens: int) -> float:
    """Tokens per second of one round of streams."""
    given = {"port": port, "token": token, "model": model, "max_tokens": max_tokens}
    found = await in_client(__file__, "--ask", given)
    return float(found["tokens"] / found["seconds"])


async def ask(port: int, token: str, model: str, max_tokens: int) -> None:
    """The asking process: STREAMS streams at once, read to their ends."""

    async def one(seed: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps(
            {
                "model": model,
                "messages": [{"role": "user", "content": QUESTION}],
                "max_tokens": max_tokens,
                "seed": seed,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        head = (
            f"POST {CHAT.routes[0]} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\nconnection: close\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.read(-1)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200"), answer[:500]
        assert b"data: [DONE]" in answer
        usage = answer.rpartition(b'"completion_tokens":')[2].partition(b",")[0]
        return int(usage)

    began = time.perf_counter()
    tokens = sum(await asyncio.gather(*[one(seed) for seed in range(STREAMS)]))
    print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - began}))


async def settled(running: Running) -> None:
    while running.journal.counts().size > running.batches.anchored_size:
        await asyncio.sleep(SETTLE_POLL_S)


async def compare(home: Path, rounds: int, max_tokens: int) -> list[tuple[float, float]]:
    """Rounds of (off, on), in tokens per second."""
    found = []
    async with whole_service(home, "demo") as (service, token):
        running = service.running
        await running.dispatcher.wait_ready()
        model = running.dispatcher.models()[0].id
        side = PlainSide(services=service.services, dispatcher=running.dispatcher, gate=running.gate)
        async with served(plain_api(side)) as off_port, served(create_api(service.services)) as on_port:
            await measure(off_port, token, model, 16)
            await measure(on_port, token, model, 16)
            for number in range(rounds):
                ports = [("off", off_port), ("on", on_port)]
                speeds = {}
                for name, port in ports if number % 2 == 0 else reversed(ports):
                    await settled(running)
                    speeds[name] = await measure(port, token, model, max_tokens)
                found.append((speeds["off"], speeds["on"]))
                print(f"  round {number + 1}: off {speeds['off']:.1f}, on {speeds['on']:.1f} tokens/s", flush=True)
            await settled(running)
    return found


def main() -> int:
    parser = options(__doc__, "fewer and shorter rounds, for CI")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if arguments.ask:
            runner.run(ask(**json.loads(arguments.ask)))
            return 0
        rounds, max_tokens = (8, 24) if arguments.short else (12, 64)
        with Path(os.devnull).open("w") as nowhere, tempfile.TemporaryDirectory() as folder:
            configure_logs("info", nowhere)
            models = os.environ.get("TALLYSTICK_BENCH_MODELS")  # a converted model to use again
            if models:
                Path(folder, "models").symlink_to(Path(models).resolve())
            found = runner.run(compare(Path(folder), rounds, max_tokens))
    ratio = statistics.median(on / off for off, on in found)
    off, on = (statistics.median(column) for column in zip(*found, strict=True))
    print(f"tokens per second, {STREAMS} streams: ledger off {off:.1f}, on {on:.1f}")
    return 0 if judged(f"ratio: {ratio:.3f} (bar: at least {BAR})", ratio >= BAR) else 1


if __name__ == "__main__":
    sys.exit(main())
