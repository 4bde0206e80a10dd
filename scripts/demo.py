"""The main job, end to end: one prompt in, one sealed record on the chain, one independent proof out.

Starts the platform on its embedded chain, asks a real language model a real question, and checks the receipt against what was sent and
what came back. Adds the log to a trust file of its own, waits until the encrypted record stands on the contract, and verifies it with a
chain node and the auditor's key alone. Then it shows what is refused: evidence with one changed byte, a stranger's forgery, and a record
whose prompt the writer replaced. Exits 0 only if every step held. All its state lies in `.tallystick`.
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
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from tallystick.binding import request_digest, request_hash, response_digest, response_hash
from tallystick.ids import checksum_address, parse_hex, to_hex
from tallystick.keys import Wallet, read_secret_file
from tallystick.receipts.signed import SignedAdmission, SignedReceipt, signer
from tallystick.sealing import response_salt
from tallystick.tasks import received_answer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.forgeries import by_a_stranger, by_the_writer  # noqa: E402

QUESTION = "Why do people keep receipts? Answer in one sentence."
START_LIMIT_S = 600  # the first start converts the model once
ANCHOR_LIMIT_S = 60
STOP_LIMIT_S = 30
POLL_S = 0.1
TRUST_NAME = "demo"
WRONG, UNCHECKED = 1, 2  # exit codes of the auditor's tool
BINDING_CHECK = "request-binding"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the client sent, and what came back, byte for byte."""

    target: str
    content_type: str
    sent: bytes
    received: bytes
    admission_header: str

    @property
    def text(self) -> str:
        return str(json.loads(self.received)["choices"][0]["message"]["content"])

    @property
    def proof(self) -> dict[str, Any]:
        found = json.loads(self.received).get("tallystick")
        if not isinstance(found, dict):
            raise DemoFailed("the answer carries no `tallystick` object")
        return found


def ask(platform: Platform, model: str) -> Answer:
    """Asks through the `openai` package, as any application would; the bytes on the wire are kept for the proof."""
    client = openai.OpenAI(base_url=platform.base_url + "/v1", api_key=platform.token, max_retries=0)
    reply = client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], max_tokens=60, temperature=0, seed=1
    )
    request = reply.http_request
    return Answer(
        target=request.url.raw_path.decode(),
        content_type=request.headers["content-type"],
        sent=request.content,
        received=reply.content,
        admission_header=reply.headers["x-tallystick-admission"],
    )


def check_receipt(answer: Answer, ledger: dict[str, Any]) -> tuple[str, str]:
    """Whether the receipt is for what was sent and what came back. Gives who signed it, from the receipt alone, and the request hash."""
    proof = answer.proof
    receipt = SignedReceipt.from_json(proof["receipt"])
    admission = SignedAdmission.from_json(json.loads(urlsafe_b64decode(answer.admission_header + "==")))
    if receipt.receipt.admission_seq != admission.admission.admission_seq or signer(receipt) != signer(admission):
        raise DemoFailed("the receipt is not that of the admission in the answer's header")
    recovered = checksum_address(signer(receipt))
    if recovered.lower() != str(ledger["writer"]).lower():
        raise DemoFailed(f"the receipt was signed by {recovered}, the log's writer is {ledger['writer']}")
    asked = request_digest("POST", answer.target, answer.content_type, answer.sent)
    if request_hash(parse_hex(proof["request_salt"]), asked) != receipt.receipt.request_hash:
        raise DemoFailed("the receipt is for another request than the one that was sent")
    received = received_answer(json.loads(answer.received))
    answered = response_digest(received.error, received.outputs)
    if response_hash(response_salt(parse_hex(proof["record_secret"])), answered) != receipt.receipt.response_hash:
        raise DemoFailed("the receipt is for another answer than the one that came back")
    return recovered, to_hex(receipt.receipt.request_hash)


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


def expect(result: subprocess.CompletedProcess[str], codes: int | tuple[int, ...], what: str) -> None:
    allowed = (codes,) if isinstance(codes, int) else codes
    if result.returncode not in allowed:
        wanted = " or ".join(str(code) for code in allowed)
        raise DemoFailed(f"{what}: exit {result.returncode}, expected {wanted}\n{result.stdout}{result.stderr}")


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
    rpc = ["--rpc", str(ledger["rpc_url"])]
    node = [*rpc, "--contract", str(ledger["contract"]), "--log", str(ledger["log_id"])]
    trust_file = platform.home / "trust.toml"
    trusted = ["--trust", TRUST_NAME, "--trust-file", str(trust_file)]
    evidence = platform.home / "evidence"
    evidence.mkdir(exist_ok=True)

    with step(2, "Trust the log, once, by a file of one's own") as note:
        trust_file.unlink(missing_ok=True)  # of an earlier demonstration, whose chain may be gone
        how = "made by this demonstration"
        added = tallystick("trust", "add", TRUST_NAME, *node, "--trust-file", str(trust_file), "--yes", "--how", how)
        expect(added, 0, "adding the log to the trust file")
        note(f"log {ledger['log_id']} of writer {ledger['writer']}, in {trust_file}")
        note(f"it promises each record on the chain within {ledger['terms']['promise']} s of its admission")
    with step(3, f"Ask {model}") as note:
        answer = ask(platform, model)
        proof = answer.proof
        answer_path = evidence / f"{proof['record_id']}.answer.json"
        answer_path.write_bytes(answer.received)
        note(f"question: {QUESTION}")
        note(f"answer:   {answer.text.strip()}")
    with step(4, "Check the signed receipt against what was sent and what came back") as note:
        recovered, asked = check_receipt(answer, ledger)
        note(f"signed by {recovered}, for request hash {asked}")
        note(f"record {proof['record_id']}, number {proof['admission_seq']}, at index {proof['index']}")
    with step(5, "Wait for the record on the contract") as note:
        status = wait_anchored(platform, str(proof["record_id"]))
        note(f"state {status['state']} on contract {ledger['contract']}")
    with step(6, "Verify the whole log from the chain node and the auditor's key alone"):
        key = platform.home / "keys" / "auditor.key"
        verdict = tallystick("verify", *trusted, *rpc, "--auditor-key", str(key), "--receipt", str(answer_path))
        expect(verdict, 0, "verification of the log")
    console.print(Text(verdict.stdout.rstrip()))
    bundle_path = evidence / f"{proof['record_id']}.json"
    with step(7, "Verify the evidence bundle, offline") as note:
        bundle = platform.get(f"/v1/records/{proof['record_id']}/proof")
        bundle_path.write_bytes(bundle)
        expect(tallystick("verify", str(bundle_path), *trusted), 0, "verification of the bundle")
        note(f"{len(bundle)} bytes in {bundle_path}")
    refused(bundle_path, trust_file, platform.home)


def refused(bundle_path: Path, trust_file: Path, home: Path) -> None:
    """What the auditor's tool must not take for a proof."""
    bundle = bundle_path.read_bytes()

    def show(name: str, content: bytes, codes: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
        path = bundle_path.with_suffix(f".{name}.json")
        path.write_bytes(content)
        verdict = tallystick("verify", str(path), "--trust-file", str(trust_file))  # the log is found by its identifier
        expect(verdict, codes, f"verification of {path.name}")
        return verdict

    with step(8, "Change one byte of the evidence: refused") as note:
        changed, at = flip_one_byte(bundle)
        verdict = show("changed", changed, (WRONG,))
        note(f"byte {at} changed; exit {verdict.returncode}: {conclusion(verdict)}")
    with step(9, "Show a stranger's forgery, whole in itself: not proven") as note:
        verdict = show("forged", by_a_stranger(bundle), (WRONG, UNCHECKED))
        note(f"another answer, in a log of the stranger's own; exit {verdict.returncode}: {conclusion(verdict)}")
    with step(10, "Replace the prompt with the writer's own key: proven wrong") as note:
        writer = Wallet.from_text(read_secret_file(home / "keys" / "operator.key"))
        verdict = show("replaced", by_the_writer(bundle, writer), (WRONG,))
        if BINDING_CHECK not in verdict.stdout:
            raise DemoFailed(f"the verdict does not name the check {BINDING_CHECK}\n{verdict.stdout}")
        note(f"every signature is genuine; exit {verdict.returncode}, and the tool says:")
    console.print(Text(verdict.stdout.rstrip()))


def conclusion(verdict: subprocess.CompletedProcess[str]) -> str:
    """The line of a verdict that says how it came out."""
    paragraphs = verdict.stdout.strip().split("\n\n")
    return " ".join(paragraphs[-1].split())


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
