"""Who says so: the signer of an entry, computed from the transaction that made it.

A node can invent a log that is whole in itself: wraps are encrypted to public keys, so anyone can make them. It cannot invent a signature.
The transaction of an entry names the head that the entry follows, so the writer's signature of the last one covers the whole log.

author = signer_of(transport, chain_id=131, contract=contract, log_id=log_id, previous_head=head, event=event)
if author.signer != writer: ...

Source: SPEC 6, "Who says so".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from tallystick.chain.calls import (
    AppendCall,
    CallError,
    CommitCall,
    LedgerCall,
    OpenEpochCall,
    RotateWriterCall,
    VoidNumbersCall,
    read_call,
)
from tallystick.chain.events import (
    BatchAppended,
    BatchCommitted,
    EpochOpened,
    LedgerEntry,
    NumbersVoided,
    WriterRotated,
)
from tallystick.chain.rpc import Transport, node_name
from tallystick.chain.transaction import ShownTransaction, TransactionUnreadable, read_transaction
from tallystick.errors import ChainError, SignatureError
from tallystick.hashing import keccak256
from tallystick.ids import Address, Hash32, Head, LogId, checksum_address, to_hex


class Mismatch(StrEnum):
    """In what a transaction is not the one that made the entry."""

    HASH = "hash"
    CHAIN = "chain"
    CONTRACT = "contract"
    SIGNATURE = "signature"
    FUNCTION = "function"
    LOG = "log"
    HEAD = "head"
    BODY = "body"


class TransactionWithheld(ChainError):
    """The node does not show the transaction of an entry, or not all of it: who made the entry could not be checked."""

    def __init__(self, node: str, tx_hash: Hash32, reason: str) -> None:
        super().__init__(f"{node}, transaction {to_hex(tx_hash)}: {reason}")
        self.node = node
        self.tx_hash = tx_hash
        self.reason = reason


class NotAuthored(ChainError):
    """The transaction that a node shows for an entry does not say what the entry says.

    The node, or whoever wrote the contract's code, has made something up. It is nothing that the log's writer has signed, so it says
    nothing against the writer. `where` names the entry; `expected` is what the entry needs, `found` what the transaction has.
    """

    def __init__(self, mismatch: Mismatch, where: str, expected: str, found: str) -> None:
        super().__init__(f"{where}: its transaction has another {mismatch}: expected {expected}, found {found}")
        self.mismatch = mismatch
        self.where = where
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who signed the transaction of an entry, and the head that the signature says it follows."""

    signer: Address
    previous_head: Head
    tx_hash: Hash32
    nonce: int


def signer_of(
    transport: Transport,
    *,
    chain_id: int,
    contract: Address,
    log_id: LogId,
    previous_head: Head | None,
    event: LedgerEntry,
) -> Author:
    """Fetch an entry's transaction, hold it against the entry, and give who signed it. Whether he may is for the caller to say.

    Who does not know the head before the entry gives None, and holds the one in the answer against the entry's own: it must lead there.
    Raises: TransactionWithheld, NotAuthored; ChainError where the node gives no answer.
    """
    tx_hash = event.position.tx_hash
    answer = transport.call("eth_getTransactionByHash", [to_hex(tx_hash)])
    if answer is None:
        raise TransactionWithheld(
            node_name(transport), tx_hash, "the node does not show it; ask one that keeps all of them"
        )
    try:
        shown = read_transaction(answer)
    except TransactionUnreadable as error:
        raise TransactionWithheld(node_name(transport), tx_hash, error.reason) from error
    return author_of(
        shown, chain_id=chain_id, contract=contract, log_id=log_id, previous_head=previous_head, event=event
    )


def author_of(
    shown: ShownTransaction,
    *,
    chain_id: int,
    contract: Address,
    log_id: LogId,
    previous_head: Head | None,
    event: LedgerEntry,
) -> Author:
    """Hold a transaction against the entry that it should have made, and give who signed it.

    Raises: NotAuthored.
    """
    where, tx_hash = f"entry {event.entry}", event.position.tx_hash
    if shown.hash != tx_hash:
        raise NotAuthored(Mismatch.HASH, where, to_hex(tx_hash), f"{to_hex(shown.hash)}, from its fields")
    if shown.chain_id != chain_id:
        found = "none: it is valid on every chain" if shown.chain_id is None else str(shown.chain_id)
        raise NotAuthored(Mismatch.CHAIN, where, str(chain_id), found)
    if shown.to != contract:
        found = "the creation of a contract" if shown.to is None else checksum_address(shown.to)
        raise NotAuthored(Mismatch.CONTRACT, where, checksum_address(contract), found)
    followed = _hold_call(where, event, log_id, previous_head, shown.data)
    try:
        signer = shown.signer()
    except SignatureError as error:
        raise NotAuthored(Mismatch.SIGNATURE, where, "the one form of a signature", error.reason) from error
    return Author(signer=signer, previous_head=followed, tx_hash=tx_hash, nonce=shown.nonce)


def _call_of(event: LedgerEntry, log_id: LogId, head: Head) -> LedgerCall:
    """The call that makes this entry after that head."""
    match event:
        case BatchAppended():
            return AppendCall(log_id=log_id, head=head, records=event.records)
        case BatchCommitted():
            return CommitCall(log_id=log_id, head=head, count=event.count, root=event.root)
        case EpochOpened():
            return OpenEpochCall(log_id=log_id, head=head, epoch=event.epoch, wraps=event.wraps)
        case WriterRotated():
            return RotateWriterCall(log_id=log_id, head=head, writer=event.writer, last_admission=event.last_admission)
        case NumbersVoided():
            return VoidNumbersCall(log_id=log_id, head=head, first=event.first, last=event.last)


def _hold_call(where: str, event: LedgerEntry, log_id: LogId, head: Head | None, data: bytes) -> Head:
    """Hold calldata against the entry; gives the head that it names."""
    try:
        found = read_call(data)
    except CallError as error:
        raise NotAuthored(Mismatch.FUNCTION, where, type(event).__name__, error.reason) from error
    expected = _call_of(event, log_id, found.head if head is None else head)
    if type(found) is not type(expected):
        raise NotAuthored(Mismatch.FUNCTION, where, type(event).__name__, type(found).__name__)
    for part in fields(expected):
        wanted, given = getattr(expected, part.name), getattr(found, part.name)
        if wanted != given:
            mismatch = {"log_id": Mismatch.LOG, "head": Mismatch.HEAD}.get(part.name, Mismatch.BODY)
            raise NotAuthored(mismatch, where, f"{part.name} {_text(wanted)}", _text(given))
    return found.head


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    return to_hex(value) if len(value) <= 32 else f"{len(value)} bytes with the keccak256 {to_hex(keccak256(value))}"
