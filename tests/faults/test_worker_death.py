"""kill -9 of workers at random moments under load: every request ends once, with exactly what was delivered.

TALLYSTICK_FAULT_ROUNDS sets the number of kills (4 in the suite).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import dataclass

import pytest

from tallystick_platform import errors
from tallystick_platform.dispatch import pool as pool_module
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tests.support.tiny_model import request
from tests.support.workers import running, wait_for_end

pytestmark = pytest.mark.faults

ROUNDS = int(os.environ.get("TALLYSTICK_FAULT_ROUNDS", "4"))
SEED = int(os.environ.get("TALLYSTICK_FAULT_SEED", "20260101"))
CLIENTS = 6
ANSWER_TOKENS = 13
LIMIT_S = 60


@dataclass
class Tally:
    """How the requests ended."""

    whole: int = 0
    cut: int = 0
    refused: int = 0


async def ask_without_pause(dispatcher: Dispatcher, client: int, tally: Tally, ended: asyncio.Event) -> None:
    number = client
    while not ended.is_set():
        number += CLIENTS
        try:
            claim = await dispatcher.claim("constant", None, "chat")
            generation = claim.start(request(number, max_tokens=1_000))
        except errors.NoProvider:
            tally.refused += 1
            await dispatcher.wait_ready()
            continue
        text = ""
        try:
            async for piece in generation:
                text += piece.data
        except errors.WorkerDied:
            tally.cut += 1
        else:
            assert len(text.split()) == ANSWER_TOKENS
            tally.whole += 1
        drawn = generation.progress.usage.get("output_tokens", 0)
        assert drawn == len(text.split())


async def test_every_request_ends_once_with_what_was_delivered(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(pool_module, "MAX_DELAY_S", 0.01)
    chance, tally, ended = random.Random(SEED), Tally(), asyncio.Event()
    async with running(tmp_path, workers=2, step_s=0.01) as (dispatcher, pool):
        clients = [
            asyncio.create_task(ask_without_pause(dispatcher, number, tally, ended)) for number in range(CLIENTS)
        ]
        async with asyncio.timeout(LIMIT_S + 2 * ROUNDS):
            for _ in range(ROUNDS):
                goal = tally.whole + chance.randrange(1, 4)
                while tally.whole < goal:
                    assert not any(client.done() for client in clients)
                    await asyncio.to_thread(os.sched_yield)
                victim = chance.choice(pool.links)
                os.kill(victim.pid, signal.SIGKILL)
                assert await asyncio.to_thread(wait_for_end, victim.pid)
            before = tally.whole
            while tally.whole < before + CLIENTS:
                await asyncio.to_thread(os.sched_yield)
            ended.set()
            await asyncio.gather(*clients)
        assert pool.restarts == ROUNDS
        assert sum(link.load for link in pool.links) == 0
        survivors = [link.pid for link in pool.links]
    assert tally.cut + tally.whole > 0
    for pid in survivors:
        assert await asyncio.to_thread(wait_for_end, pid)
