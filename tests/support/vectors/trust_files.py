"""Vectors of the file of trusted logs (SPEC 10)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tallystick.hashing import keccak256
from tallystick.ids import Head, LogId
from tallystick.trust.file import trust_text
from tallystick.trust.logs import MAX_HOW_CHARS, MAX_NAME_CHARS, SeenHead, Trust, TrustedLog
from tests.support.vectors.cast import DOMAIN, KEEPER, LOG_ID, WRITER

PATH = Path("trust.toml")
TRUSTED = TrustedLog(
    name="ours",
    chain_id=DOMAIN.chain_id,
    contract=DOMAIN.contract,
    code_hash=keccak256(b"tallystick vector: code"),
    log_id=LOG_ID,
    writers=(WRITER.address, KEEPER.address),
    added=datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC),
    how='typed by hand, from "a page" at C:\\keys \u00e9',
    seen=SeenHead(entries=12, size=40, head=Head(keccak256(b"head"))),
)
UNSEEN = replace(
    TRUSTED,
    name="another_1",
    log_id=LogId(keccak256(b"another log")),
    writers=(WRITER.address,),
    how="first use",
    seen=None,
)


def trust_vectors() -> dict[str, Any]:
    """Files as they are written, and files with one fault."""
    files = {"no log": Trust(PATH), "one log": Trust(PATH, (TRUSTED,)), "two logs": Trust(PATH, (TRUSTED, UNSEEN))}
    return {
        "valid": [{"name": name, "file": trust_text(trust)} for name, trust in files.items()],
        "invalid": [{"fault": fault, "file": text, "error": "TrustError"} for fault, text in _faults()],
    }


def _faults() -> Iterator[tuple[str, str]]:
    good = trust_text(Trust(PATH, (TRUSTED,)))

    def with_line(start: str, line: str) -> str:
        changed = "\n".join(line if old.startswith(start) else old for old in good.split("\n"))
        assert changed != good
        return changed

    yield "not TOML", good + "["
    yield "a member twice", good.replace("chain_id", "chain_id = 1\nchain_id", 1)
    yield "brackets without end", good + "x = " + "[" * 100
    yield "a member missing", with_line("code_hash", "")
    yield "a member too many", with_line("how", 'how = "x"\ncolour = "red"')
    yield "a table too many", good + "[colour]\n"
    yield "a log that is no table", "log.ours = 1\n"
    yield "a name with a dot", good.replace("log.ours", 'log."ours.1"')
    yield "a name too long", good.replace("log.ours", "log." + "n" * (MAX_NAME_CHARS + 1))
    yield "a number as text", with_line("chain_id", 'chain_id = "1"')
    yield "a number below zero", with_line("chain_id", "chain_id = -1")
    yield "true for a number", with_line("entries", "entries = true")
    yield "an address with a wrong checksum", with_line("contract", 'contract = "0x' + "aB" * 20 + '"')
    yield "31 bytes of a hash", with_line("log_id", 'log_id = "0x' + "11" * 31 + '"')
    yield "no writer", with_line("writers", "writers = []")
    yield "writers that are no list", with_line("writers", 'writers = "0x' + "11" * 20 + '"')
    yield "a writer that is a number", with_line("writers", "writers = [1]")
    yield "a writer twice", with_line("writers", 'writers = ["0x' + "11" * 20 + '", "0x' + "11" * 20 + '"]')
    yield "a time without an offset", with_line("added", "added = 2026-11-28T12:00:00")
    yield "a time as text", with_line("added", 'added = "2026-11-28T12:00:00Z"')
    yield "a time before all logs", with_line("added", "added = 0001-01-01T00:00:00+01:00")
    yield "how it came, as a number", with_line("how", "how = 1")
    yield "how it came, too long", with_line("how", 'how = "' + "x" * (MAX_HOW_CHARS + 1) + '"')
    yield "how it came, with a line feed", with_line("how", 'how = "a\\nb"')
    yield "a head without its size", with_line("size", "")
    yield "one log under two names", good + good.replace("log.ours", "log.theirs")
