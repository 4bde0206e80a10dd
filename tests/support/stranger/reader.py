"""Reads a whole log: the walk, then every record, then the messages that somebody holds."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.stranger import checks, promises
from tests.support.stranger.chain import Ask, Node, http_node, unhex
from tests.support.stranger.crypto import Auditor, keccak, record_secret
from tests.support.stranger.errors import Refused
from tests.support.stranger.messages import SignedMessage, read_message
from tests.support.stranger.sealing import (
    CHAIN_CUSTODY,
    header_of,
    open_sealed,
    request_hash,
    response_hash,
    whole_record,
)
from tests.support.stranger.tree import Packed, Terms, leaf_hash
from tests.support.stranger.walk import Batch, Walk, walk_log

ABI = Path(__file__).parents[3] / "contracts" / "abi" / "InferenceLedger.json"


@dataclass
class ReadRecord:
    """One record of a log, opened if its secret is known."""

    index: int
    batch: int
    epoch: int
    batch_time: int
    admission_seq: int
    flags: int
    nonce: bytes
    fields_root: bytes
    leaf: bytes
    secret: bytes | None = None
    record: dict[str, Any] | None = None
    missing_blobs: list[str] = field(default_factory=list)
    request_hash: bytes | None = None
    response_hash: bytes | None = None


@dataclass
class LogReport:
    """What a log says, what is wrong with it, and what could not be checked."""

    chain_id: int
    contract: bytes
    log_id: bytes
    terms: Terms
    block: int
    time: int
    walk: Walk
    records: list[ReadRecord] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    given_up: int = 0
    problems: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems

    @property
    def head(self) -> bytes:
        """The last head."""
        return self.walk.heads[-1]

    @property
    def size(self) -> int:
        """The number of records."""
        return self.walk.size

    @property
    def entries(self) -> int:
        """The number of entries."""
        return self.walk.entries

    @property
    def voided(self) -> int:
        """How many admission numbers are void."""
        return sum(void.last - void.first + 1 for void in self.walk.voids)


def _epoch_keys(report: LogReport, auditor: Auditor) -> dict[int, bytes]:
    keys = {}
    for epoch in report.walk.epochs:
        mine = [wrap for wrap in epoch.wraps if wrap[:8] == auditor.key_id]
        if not mine:
            report.unchecked.append(f"epoch {epoch.number} has no wrap for this auditor")
        for wrap in mine:
            try:
                keys[epoch.number] = auditor.unwrap(wrap, report.log_id, epoch.number)
            except Refused as error:
                report.problems.append(f"epoch {epoch.number}: the auditor's wrap: {error}")
    return keys


def _read(log_id: bytes, batch: Batch, at: int, packed: Packed) -> ReadRecord:
    flags, number, nonce = header_of(packed.sealed)
    index = batch.first_index + at
    leaf = leaf_hash(log_id, index, packed.fields_root, packed.sealed)
    return ReadRecord(index, batch.number, batch.epoch, batch.time, number, flags, nonce, packed.fields_root, leaf)


def _open(report: LogReport, read: ReadRecord, sealed: bytes, blobs: Mapping[bytes, bytes]) -> None:
    if read.secret is None:
        return
    try:
        record, _ = open_sealed(read.secret, report.log_id, read.index, read.epoch, read.fields_root, sealed)
        whole, read.missing_blobs = whole_record(record, read.secret, blobs)
    except Refused as error:
        report.problems.append(f"record {read.index}: {error}")
        return
    report.unchecked += [f"record {read.index}: the blob of {name} is not there" for name in read.missing_blobs]
    read.record = whole
    if "request" not in read.missing_blobs:
        read.request_hash = request_hash(whole)
    if "response" not in read.missing_blobs:
        read.response_hash = response_hash(whole, read.secret)


def _read_records(
    report: LogReport, keys: dict[int, bytes], secrets: Mapping[int, bytes], blobs: Mapping[bytes, bytes]
) -> None:
    for batch in report.walk.batches:
        if batch.records is None:
            report.unchecked.append(f"the records of batch {batch.number} do not stand on the chain")
            continue
        for at, packed in enumerate(batch.records):
            read = _read(report.log_id, batch, at, packed)
            read.secret = secrets.get(read.index)
            if read.secret is None and read.epoch in keys and read.flags == CHAIN_CUSTODY:
                read.secret = record_secret(keys[read.epoch], report.log_id, read.index, read.nonce)
            _open(report, read, packed.sealed, blobs)
            report.records.append(read)


def _check_code(report: LogReport, node: Node) -> None:
    compiled = keccak(unhex(json.loads(ABI.read_text())["deployedBytecode"]))
    if keccak(node.code()) != compiled:
        report.problems.append("the contract's code is not that of contracts/abi")


def _messages(report: LogReport, given: Iterable[str | bytes | dict[str, Any]]) -> list[SignedMessage]:
    messages = []
    for at, text in enumerate(given):
        try:
            messages.append(read_message(text))
        except Refused as error:
            report.problems.append(f"message {at}: {error}")
    return messages


def read_log(
    rpc_url: str | Ask,
    contract: str | bytes,
    log_id: str | bytes,
    auditor_seed: bytes | None,
    *,
    record_secrets: Mapping[int, bytes] | None = None,
    blobs: Mapping[bytes, bytes] | None = None,
    messages: Iterable[str | bytes | dict[str, Any]] = (),
) -> LogReport:
    """Reads a log from its creation; the package's docstring has the rest."""
    ask = http_node(rpc_url) if isinstance(rpc_url, str) else rpc_url
    node = Node(ask, unhex(contract) if isinstance(contract, str) else contract)
    identifier = unhex(log_id) if isinstance(log_id, str) else log_id
    walk = walk_log(node, identifier)
    report = LogReport(node.chain_id, node.contract, identifier, walk.terms, node.block, node.time(node.block), walk)
    report.problems += walk.problems
    _check_code(report, node)
    keys = _epoch_keys(report, Auditor(auditor_seed)) if auditor_seed is not None else {}
    _read_records(report, keys, record_secrets or {}, blobs or {})
    checks.check_numbers(report)
    checks.check_records(report)
    promises.check_messages(report, _messages(report, messages))
    return report
