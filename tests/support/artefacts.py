"""A small log that was kept for good: its transactions, run again on a real EVM, and what its client and auditor kept.

tests/artefacts/v2/log.json holds the signed transactions with their times, so that no node needs to be trusted or modelled: the embedded
chain executes them anew, contract code included. Every later version must still verify all of it.

It holds two epochs, chats answered and failed, a request signed by its sender, one too large for a transaction, a record whose secret was
erased, work accepted and ended, void numbers, and a change of the writer by the keeper.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.chain.reader import LedgerReader
from tallystick.ids import LogId, parse_address, parse_hash, parse_hex
from tests.support.chains import DirectTransport, direct_chain

FOLDER = Path(__file__).resolve().parents[1] / "artefacts" / "v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLog:
    """The log on its chain, and the document that describes it."""

    transport: DirectTransport
    reader: LedgerReader
    document: dict[str, Any]


def read_document() -> dict[str, Any]:
    """What log.json says."""
    document: dict[str, Any] = json.loads((FOLDER / "log.json").read_bytes())
    return document


@contextmanager
def kept_log() -> Iterator[KeptLog]:
    """The kept log on an embedded chain in this process."""
    document = read_document()
    funded = [parse_address(address) for address in document["funded"]]
    with direct_chain(
        prefund=funded, now_s=document["genesis_s"], auto_mine=False, chain_id=document["chain_id"]
    ) as transport:
        for transaction in document["transactions"]:
            transport.call("eth_sendRawTransaction", [transaction["raw"]])
            transport.clock.now_s = transaction["block_time"] - 1
            transport.mine()
        reader = LedgerReader(transport, parse_address(document["contract"]), LogId(parse_hash(document["log_id"])))
        yield KeptLog(transport=transport, reader=reader, document=document)


def blob(digest: bytes) -> bytes | None:
    """A kept blob, by the digest of its sealed form."""
    path = FOLDER / "blobs" / digest.hex()
    return path.read_bytes() if path.exists() else None


def secret(name: str) -> bytes:
    """A secret of the document."""
    return parse_hex(read_document()[name])
