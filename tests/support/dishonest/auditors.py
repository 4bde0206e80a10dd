"""The judge: `tallystick verify` over a served node, or over a file alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tallystick.chain.rpc import Transport
from tallystick.cli.program import program
from tallystick.errors import Party
from tallystick.ids import Address, LogId, to_hex
from tallystick.keys import AuditorKey, write_secret_file
from tests.support.dishonest.contracts import OnContract
from tests.support.synthetic_log import AUDITOR, CONTRACT, SyntheticLog
from tests.support.synthetic_server import served

WRITER = str(Party.WRITER)
MAKER = str(Party.MAKER)
ANSWERER = "whoever sent this answer, or changed it since"
SIGNER = str(Party.SIGNER)
PROVEN, WRONG, UNCHECKED = 0, 1, 2
VARIABLES = ("RPC", "CONTRACT", "LOG", "AUDITOR_KEY", "TRUST_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the command line said: its exit code, each document that it printed, and all that it wrote."""

    exit_code: int
    documents: list[dict[str, Any]]
    written: str

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Every failure; the first document holds those of all."""
        return self.documents[0].get("failures", []) if self.documents else []

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """The name of a check, and why something of it was not computed."""
        return [
            (check["name"], reason["text"])
            for document in self.documents
            for check in document.get("checks", ())
            for reason in check["reasons"]
        ]

    @property
    def told(self) -> str:
        """The verdicts in short: for a test that fails."""
        sentences = [one.get("summary", one.get("error")) for one in self.documents]
        return f"{self.exit_code}: {sentences} {self.failures}" if sentences else self.written

    @property
    def accused(self) -> set[str]:
        """Who is proven to have contradicted himself."""
        return {one["party"] for one in self.documents[0].get("accused", ())} if self.documents else set()

    def proves(self, *checks: str, against: str = WRITER, saying: str = "") -> None:
        """Exactly these checks failed, that party alone is named in the summary, and the sentence says what was found."""
        assert self.exit_code == WRONG, self.told
        assert {failure["name"] for failure in self.failures} == set(checks), self.told
        assert self.accused == {against}
        assert any(
            f"Proven wrong: {against} (" in document["summary"]
            and all(check in document["summary"] for check in checks)
            for document in self.documents
        )
        sentences = [f"{one['where']}: expected {one['expected']}, found {one['found']}" for one in self.failures]
        assert any(saying in sentence for sentence in sentences), sentences

    def finds_nothing(self, *claims: tuple[str, str]) -> None:
        """All that was asked for holds, and each of these checks says what of it is the writer's word."""
        assert self.exit_code == PROVEN, self.told
        assert not self.failures
        for check, text in claims:
            assert any(check == name and text in reason for name, reason in self.reasons), (text, self.reasons)

    def leaves_open(self, saying: str, *, check: str | None = None) -> None:
        """Nothing is proven about anybody, and what could not be checked is named."""
        assert self.exit_code == UNCHECKED, self.told
        assert self.accused == set()
        if check is None:
            assert saying in self.written
        else:
            assert any(check == name and saying in reason for name, reason in self.reasons), self.reasons


class Auditor:
    """Somebody with the auditor's key, a node, and the identifier of the log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written = 0
        self.key_file = self.write_key(AUDITOR)

    def write_key(self, key: AuditorKey) -> Path:
        """A key file."""
        path = self._new_path("key")
        write_secret_file(path, key.to_text())
        return path

    def write(self, document: object) -> Path:
        """Keep something in a file: bytes as they are, a signed message or another document as JSON."""
        path = self._new_path("json")
        if isinstance(document, bytes):
            path.write_bytes(document)
        else:
            shown = document.to_json() if hasattr(document, "to_json") else document
            path.write_text(json.dumps(shown))
        return path

    def judge(
        self,
        log: SyntheticLog | OnContract,
        *arguments: object,
        kept: Sequence[object] = (),
        key: Path | None = None,
        closed: bool = False,
        node: Transport | None = None,
        second: Transport | None = None,
    ) -> Judged:
        """Verify a whole log; with the auditor's key unless `closed`, with what clients kept, and with a second node."""
        with ExitStack() as stack:
            if isinstance(log, SyntheticLog):
                where, behind = CONTRACT, node or log.node()
            else:
                where, behind = log.ledger.contract, node or log.ledger.transport
            url = stack.enter_context(served(behind))
            options = self.log_options(url, log.log_id, where)
            if second is not None:
                options += ["--second-rpc", stack.enter_context(served(second))]
            if not closed:
                options += ["--auditor-key", key or self.key_file]
            for document in kept:
                options += ["--receipt", self.write(document)]
            return self.run("verify", *options, *arguments)

    def judge_file(
        self, document: object, *arguments: object, log: SyntheticLog | None = None, known: LogId | None = None
    ) -> Judged:
        """Verify a file: against a log's node if one is given, and vouched for where the log's identifier is known."""
        path = document if isinstance(document, Path) else self.write(document)
        options: list[object] = [] if known is None else ["--log", to_hex(known)]
        with ExitStack() as stack:
            if log is not None:
                options += ["--rpc", stack.enter_context(served(log.node()))]
            return self.run("verify", path, *options, *arguments)

    @staticmethod
    def log_options(url: str, log_id: LogId, contract: Address = CONTRACT) -> list[object]:
        """The options that name a log."""
        return ["--rpc", url, "--contract", to_hex(contract), "--log", to_hex(log_id)]

    def run(self, *arguments: object, as_json: bool = True) -> Judged:
        """Run the command line; nothing of this machine's environment reaches it."""
        environment: dict[str, str | None] = {f"TALLYSTICK_{name}": None for name in VARIABLES}
        environment["TALLYSTICK_TRUST_FILE"] = str(self._folder / "trust.toml")
        words = [str(argument) for argument in (*arguments, *(["--json"] if as_json else []))]
        result = CliRunner().invoke(program, words, env=environment)
        assert "defect" not in result.stderr, result.stderr
        documents = _documents(result.stdout) if as_json else []
        return Judged(exit_code=result.exit_code, documents=documents, written=result.stdout + result.stderr)

    def _new_path(self, ending: str) -> Path:
        self._written += 1
        return self._folder / f"{self._written}.{ending}"


def _documents(text: str) -> list[dict[str, Any]]:
    found, decoder, at = [], json.JSONDecoder(), 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        found.append(document)
        if "answer" in document:
            found.append(document["answer"])
        while at < len(text) and text[at].isspace():
            at += 1
    return found
