"""kill -9 of API, worker and chain at random moments under load; afterwards the real verifier audits everything.

TALLYSTICK_FAULT_ROUNDS sets the number of kills (4 in the suite, hundreds in `make faults`); the seed is printed and can be set with
TALLYSTICK_FAULT_SEED.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.service import Service, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.system, pytest.mark.xdist_group("system"), pytest.mark.timeout(0)]

ROUNDS = int(os.environ.get("TALLYSTICK_FAULT_ROUNDS", "4"))
SEED = int(os.environ.get("TALLYSTICK_FAULT_SEED", "20260101"))
CLIENTS = 6
VICTIMS = ("api", "tallystick_platform.worker", "tallystick_platform.embedded_chain")


@dataclass
class Load:
    """Clients that ask without pause and keep every receipt that they get."""

    service: Service
    token: str
    model: str
    receipts: dict[str, dict[str, object]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for number in range(CLIENTS):
            thread = threading.Thread(target=self._client, args=(number,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def stop(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(timeout=150)
        assert not any(thread.is_alive() for thread in self.threads)

    def _client(self, number: int) -> None:
        asked = 0
        with httpx.Client(
            base_url=self.service.base_url, headers={"Authorization": f"Bearer {self.token}"}, timeout=20
        ) as client:
            while not self.ended.is_set():
                asked += 1
                try:
                    self._ask(client, f"client {number} question {asked}", stream=asked % 2 == 0)
                except (httpx.TransportError, json.JSONDecodeError):
                    self._count("cut")
                    self.ended.wait(0.05)

    def _ask(self, client: httpx.Client, text: str, *, stream: bool) -> None:
        body = {"model": self.model, "messages": [{"role": "user", "content": text}], "stream": stream}
        proof = None
        if stream:
            with client.stream("POST", "/v1/chat/completions", json=body) as reply:
                self._count(str(reply.status_code))
                for line in reply.iter_lines():
                    if line.startswith("data: {"):
                        proof = json.loads(line[6:]).get("tallystick") or proof
        else:
            reply = client.post("/v1/chat/completions", json=body)
            self._count(str(reply.status_code))
            proof = reply.json().get("tallystick") if reply.status_code == 200 else None
        if proof:
            with self.lock:
                self.receipts[str(proof["record_id"])] = proof

    def _count(self, what: str) -> None:
        with self.lock:
            self.statuses[what] = self.statuses.get(what, 0) + 1


def strike(service: Service, victim: str, load: Load) -> None:
    """One kill, then the wait until the platform serves again."""
    if victim == "api":
        service.kill()
        service.start()
    else:
        wait_for(lambda: service.kill_child(victim), 30, f"a {victim} process to kill")
        wait_for(service.is_ready, 60, f"ready again after the kill of {victim}")
    answered = len(load.receipts)
    wait_for(
        lambda: len(load.receipts) > answered,
        60,
        f"answers again after the kill of {victim}; {load.statuses}\n{service.log_tail()}",
    )


def test_after_kills_at_random_moments_every_answer_has_exactly_one_record_and_the_log_verifies(tmp_path: Path) -> None:
    randomness = random.Random(SEED)
    service = Service(home=tmp_path / "home").start()
    load = Load(service=service, token=service.client_file["token"], model=service.model)
    load.start()
    try:
        for number in range(ROUNDS):
            time.sleep(randomness.uniform(0.2, 1.5))  # the moment of the kill is what this test draws at random
            strike(service, VICTIMS[number % len(VICTIMS)], load)
    finally:
        load.stop()
    try:
        ledger = service.wait_anchored(limit_s=120)
        result = service.verify()
        assert result.returncode == 0, f"seed {SEED}\n{result.stdout}{result.stderr}"
        assert_each_answer_has_its_record(service, load)
        assert ledger["size"] >= len(load.receipts)
        assert len({proof["index"] for proof in load.receipts.values()}) == len(load.receipts)
    finally:
        service.stop()


def assert_each_answer_has_its_record(service: Service, load: Load) -> None:
    """The journal lists exactly one record per receipt, at the receipt's index and leaf."""
    listed: dict[str, dict[str, object]] = {}
    following = ""
    while True:
        page = service.get(f"/v1/records?limit=100{following}").json()
        for row in page["data"]:
            assert row["record_id"] not in listed
            listed[row["record_id"]] = row
        if page["next_cursor"] is None:
            break
        following = f"&cursor={page['next_cursor']}"
    for record_id, proof in load.receipts.items():
        assert listed[record_id]["index"] == proof["index"]
        assert listed[record_id]["leaf"] == proof["leaf"]
