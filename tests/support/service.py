"""The whole platform in processes of its own, started as a user starts it, for system and fault tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

BIN = Path(sys.executable).parent
START_LIMIT_S = 90
STOP_LIMIT_S = 40
POLL_S = 0.05


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(look: Callable[[], Any], limit_s: float, what: str) -> Any:
    """Polls until `look` returns something true; a bound, never a fixed sleep."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"not within {limit_s} s: {what}")


@dataclass
class Service:
    """One server over one home folder; can be killed and started again over the same state."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    chain_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.home / "server.log"

    @property
    def client_file(self) -> dict[str, str]:
        return json.loads((self.home / "keys" / "client.json").read_text())

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.client_file['token']}"}

    def settings(self) -> dict[str, str]:
        chosen = {
            "TALLYSTICK_HOME": str(self.home),
            "TALLYSTICK_PORT": str(self.port),
            "TALLYSTICK_CHAIN_PORT": str(self.chain_port),
            "TALLYSTICK_MODEL": "constant",
            "TALLYSTICK_BATCH_MAX_AGE_MS": "200",
        }
        return (
            {k: v for k, v in os.environ.items() if not k.startswith("TALLYSTICK_")} | chosen | dict(self.environment)
        )

    def start(self, limit_s: float = START_LIMIT_S) -> Service:
        return self._spawn(self.is_ready, limit_s, "ready")

    def _spawn(self, reached: Callable[[], bool], limit_s: float, what: str) -> Service:
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(BIN / "tallystick-server"), "serve"],
                env=self.settings(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_for(reached, limit_s, what)
        except AssertionError as error:
            if self.process.poll() is None:
                self.kill()  # nobody stops what never came up
            raise AssertionError(f"{error}; log:\n{self.log_tail()}") from error
        return self

    def start_unready(self, limit_s: float = START_LIMIT_S) -> Service:
        """Start a server that would be ready, did it not hold admission for a reason of its own."""
        return self._spawn(self.is_held, limit_s, "ready but for admission")

    def is_ready(self) -> bool:
        return self._missing() == set()

    def is_held(self) -> bool:
        """Whether everything stands, and anchoring was halted before anything was admitted."""
        return self._missing() == {"admission", "anchoring"}

    def _missing(self) -> set[str] | None:
        """The parts that are not there yet; None while nobody answers."""
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"the server ended early:\n{self.log_tail()}")
        try:
            answer = httpx.get(self.base_url + "/readyz", timeout=2)
        except httpx.TransportError:
            return None
        missing = {name for name, state in answer.json()["parts"].items() if state != "ok"}
        return set() if answer.status_code == 200 else missing

    def log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-4000:] if self.log_path.exists() else ""

    def stop(self) -> int:
        """Asks the server to drain and leave, as a supervisor does."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the server did not stop in {STOP_LIMIT_S} s:\n{self.log_tail()}") from None
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL to the API process, and waits until its children have noticed and left."""
        if self.process is None:
            return
        children = self.children()
        self.process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(children, timeout=15)
        if alive:
            raise AssertionError(f"children outlived their parent: {[' '.join(p.cmdline()) for p in alive]}")

    def children(self, part: str = "") -> list[psutil.Process]:
        """Child processes whose command line holds `part`."""
        if self.process is None:
            return []
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if part in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill_child(self, part: str) -> bool:
        """SIGKILL to the children of one kind; False if none was there."""
        victims = self.children(part)
        for victim in victims:
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
        return bool(victims)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.base_url + path, headers=self.headers, timeout=30)

    def chat(self, text: str = "Hello", **fields: object) -> httpx.Response:
        model = fields.pop("model") if "model" in fields else self.model
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return httpx.post(self.base_url + "/v1/chat/completions", headers=self.headers, json=body, timeout=130)

    @property
    def model(self) -> str:
        return str(self.get("/v1/models").json()["data"][0]["id"])

    def ledger(self) -> dict[str, Any]:
        return dict(self.get("/v1/ledger").json())

    def wait_anchored(self, limit_s: float = 60) -> dict[str, Any]:
        """Waits until nothing is left to anchor."""

        def settled() -> dict[str, Any] | None:
            ledger = self.ledger()
            return ledger if ledger["journal_depth"] == 0 else None

        return dict(wait_for(settled, limit_s, "everything anchored"))

    def node(self) -> list[str]:
        ledger = self.ledger()
        return ["--rpc", ledger["rpc_url"], "--contract", ledger["contract"], "--log", ledger["log_id"]]

    def trusted(self) -> list[str]:
        """Options that say whose log it is: a trust file of this home, to which the log is added when it is first asked for."""
        path = self.home / "trust.toml"
        if not path.exists():
            added = tallystick("trust", "add", "service", *self.node(), "--trust-file", str(path), "--yes")
            if added.returncode != 0:
                raise AssertionError(f"the log was not added to the trust file:\n{added.stdout}{added.stderr}")
        return ["--trust", "service", "--trust-file", str(path)]

    def verify(self, *more: str) -> subprocess.CompletedProcess[str]:
        """The auditor's command over the whole log with the auditor's key."""
        key = str(self.home / "keys" / "auditor.key")
        return tallystick("verify", *self.node(), "--auditor-key", key, "--json", *more)


def tallystick(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "tallystick"), *arguments], capture_output=True, text=True, check=False, timeout=300
    )


def tallystick_server(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "tallystick-server"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=service.settings())
