"""The main job, end to end: one prompt in, one sealed record on the chain, one independent proof out.

Starts the platform on its embedded chain, asks a real language model a real question, waits until the encrypted
record stands on the contract, verifies it with a chain node and the auditor's key alone, then changes one byte of
the evidence and shows that this is caught. Exits 0 only if every step held.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from tallystick.ids import checksum_address, parse_hex
from tallystick.receipts import SignedReceipt, signer

QUESTION = "Why do people keep receipts? Answer in one sentence."
START_LIMIT_S = 600  # the first start converts the model once
ANCHOR_LIMIT_S = 60
STOP_LIMIT_S = 30
POLL_S = 0.1

console = Console(stderr=True, highlight=False)


class DemoFailed(Exception):
    """One step did not hold; the message says which and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A running server and what a client needs to reach it."""

    base_url: str
    home: Path
    token: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def get(self, path: str) -> bytes:
        request = urllib.request.Request(self.base_url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            body: bytes = reply.read()
            return body


@contextmanager
def step(number: int, title: str) -> Iterator[Callable[[str], None]]:
    """Shows one step with a spinner while it runs and its figures when it is done."""
    notes: list[str] = []
    started = time.perf_counter()
    with console.status(f"{number}. {title}"):
        try:
            yield notes.append
        except (DemoFailed, OSError, openai.OpenAIError, ValueError, KeyError) as error:
            console.print(f"[red]{number}. {title}: failed[/red]\n   {error}", markup=True)
            raise DemoFailed(str(error)) from error
    console.print(f"[green]{number}. {title}[/green] ({time.perf_counter() - started:.1f} s)")
    for note in notes:
        console.print(Text("   " + note))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(home: Path) -> Platform:
    """Starts the server on free ports and waits until it is ready."""
    home.mkdir(parents=True, exist_ok=True)
    port, chain_port = free_port(), free_port()
    environment = dict(
        os.environ, TALLYSTICK_HOME=str(home), TALLYSTICK_PORT=str(port), TALLYSTICK_CHAIN_PORT=str(chain_port)
    )
    log_path = home / "demo-server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "tallystick-server"), "serve"],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    base_url = f"http://127.0.0.1:{port}"
    try:
        wait_ready(process, base_url, log_path)
        client = json.loads((home / "keys" / "client.json").read_text())
    except BaseException:
        stop(process)
        raise
    return Platform(base_url=base_url, home=home, token=client["token"], process=process, log_path=log_path)


def wait_ready(process: subprocess.Popen[bytes], base_url: str, log_path: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = log_path.read_text(errors="replace")[-2000:]
            raise DemoFailed(f"the server stopped with exit code {process.returncode}; the end of {log_path}:\n{tail}")
        try:
            with urllib.request.urlopen(base_url + "/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_S)
    raise DemoFailed(f"the server was not ready after {START_LIMIT_S} s; see {log_path}")


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ask(platform: Platform, model: str) -> tuple[str, dict[str, object]]:
    """Asks through the `openai` package, as any application would; returns the answer and its proof."""
    client = openai.OpenAI(base_url=platform.base_url + "/v1", api_key=platform.token, max_retries=0)
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], max_tokens=60, temperature=0, seed=1
    )
    proof = (answer.model_extra or {}).get("tallystick")
    if not isinstance(proof, dict):
        raise DemoFailed("the answer carries no `tallystick` object")
    return answer.choices[0].message.content or "", proof


def check_receipt(proof: dict[str, object], ledger: dict[str, object]) -> str:
    """Recovers who signed the receipt, from the receipt alone."""
    receipt = proof["receipt"]
    if not isinstance(receipt, dict):
        raise DemoFailed("the receipt is not an object")
    recovered = checksum_address(signer(SignedReceipt.from_json(receipt)))
    if recovered.lower() != str(ledger["writer"]).lower():
        raise DemoFailed(f"the receipt was signed by {recovered}, the log's writer is {ledger['writer']}")
    return recovered


def wait_anchored(platform: Platform, record_id: str) -> dict[str, object]:
    deadline = time.monotonic() + ANCHOR_LIMIT_S
    while time.monotonic() < deadline:
        status: dict[str, object] = json.loads(platform.get(f"/v1/records/{record_id}"))
        if status["state"] in ("anchored", "final"):
            return status
        time.sleep(POLL_S)
    raise DemoFailed(f"record {record_id} was not on the chain after {ANCHOR_LIMIT_S} s; see {platform.log_path}")


def tallystick(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the auditor's command in a process of its own: it shares nothing with the platform but the chain."""
    command = [str(Path(sys.executable).parent / "tallystick"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def expect(result: subprocess.CompletedProcess[str], code: int, what: str) -> None:
    if result.returncode != code:
        raise DemoFailed(f"{what}: exit {result.returncode}, expected {code}\n{result.stdout}{result.stderr}")


def flip_one_byte(bundle: bytes) -> tuple[bytes, int]:
    """Changes one hex digit in the middle of the sealed record."""
    evidence = json.loads(bundle)["evidence"]
    sealed: str = evidence["sealed"]
    at = bundle.index(sealed.encode()) + len(sealed) // 2
    other = b"1" if bundle[at : at + 1] == b"0" else b"0"
    return bundle[:at] + other + bundle[at + 1 :], at


def run(platform: Platform) -> None:
    ledger = json.loads(platform.get("/v1/ledger"))
    model = json.loads(platform.get("/v1/models"))["data"][0]["id"]
    node = ["--rpc", str(ledger["rpc_url"]), "--contract", str(ledger["contract"]), "--log", str(ledger["log_id"])]

    with step(2, f"Ask {model}") as note:
        text, proof = ask(platform, model)
        note(f"question: {QUESTION}")
        note(f"answer:   {text.strip()}")
    with step(3, "Check the signed receipt") as note:
        note(f"signed by {check_receipt(proof, ledger)}, the writer of log {ledger['log_id']}")
        note(f"record {proof['record_id']} at index {proof['index']}, leaf {proof['leaf']}")
    with step(4, "Wait for the record on the contract") as note:
        status = wait_anchored(platform, str(proof["record_id"]))
        note(f"state {status['state']} on contract {ledger['contract']}")
    with step(5, "Verify the whole log from the chain node and the auditor's key alone"):
        key = platform.home / "keys" / "auditor.key"
        verdict = tallystick("verify", *node, "--auditor-key", str(key))
        expect(verdict, 0, "verification of the log")
    console.print(Text(verdict.stdout.rstrip()))
    evidence = platform.home / "evidence"
    evidence.mkdir(exist_ok=True)
    bundle_path = evidence / f"{proof['record_id']}.json"
    with step(6, "Verify the evidence bundle, offline") as note:
        bundle = platform.get(f"/v1/records/{proof['record_id']}/proof")
        bundle_path.write_bytes(bundle)
        expect(tallystick("verify", str(bundle_path)), 0, "verification of the bundle")
        note(f"{len(bundle)} bytes in {bundle_path}")
    with step(7, "Change one byte of the evidence") as note:
        changed, at = flip_one_byte(bundle)
        changed_path = evidence / f"{proof['record_id']}.changed.json"
        changed_path.write_bytes(changed)
        caught = tallystick("verify", str(changed_path))
        expect(caught, 1, "verification of the changed bundle")
        note(f"byte {at} changed; the auditor's tool exits 1 and says:")
    console.print(Text(caught.stdout.rstrip()))
    if len(parse_hex(str(proof["leaf"]))) != 32:  # the shape that the last panel quotes
        raise DemoFailed("the leaf is not 32 bytes")


def main() -> int:
    home = Path(os.environ.get("TALLYSTICK_HOME", ".tallystick")).resolve()
    started = time.perf_counter()
    platform: Platform | None = None
    try:
        with step(1, "Start the platform on its embedded chain") as note:
            platform = start(home)
            note(f"serving at {platform.base_url}, state in {home}")
        run(platform)
    except DemoFailed:
        console.print("[red]The demonstration did not hold.[/red]", markup=True)
        return 1
    finally:
        if platform is not None:
            stop(platform.process)
    console.print(
        Panel(
            f"Every step held in {time.perf_counter() - started:.0f} s. Next: make run, then docs/auditing.md",
            style="green",
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
