"""What an auditor asks a node about one log: read only, and nothing believed that can be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from tallystick.chain.artifact import MAX_CODE_BYTES, load_artifact
from tallystick.chain.entries import CREATION, EntryWalk
from tallystick.chain.events import (
    BATCH_APPENDED,
    BATCH_COMMITTED,
    EPOCH_OPENED,
    LOG_CREATED,
    BatchAppended,
    BatchCommitted,
    EpochOpened,
    LedgerEntry,
    LedgerEvent,
    LogCreated,
)
from tallystick.chain.faults import (
    BlockTag,
    ChainMoved,
    ContractMissing,
    EventsWithheld,
    LogMissing,
    NodeBehind,
    OtherChain,
    OtherCode,
)
from tallystick.chain.reverts import ContractReverted, explain
from tallystick.chain.rpc import Transport, node_name
from tallystick.chain.scan import Page, scan_events
from tallystick.chain.views import (
    BATCH_AT,
    BATCH_OF,
    LOG_STATE,
    LOG_TERMS,
    WRITER_AT,
    WRITER_COUNT,
    BatchInfo,
    LogState,
    LogTermsOnChain,
    View,
    WriterSpan,
)
from tallystick.chain.wire import UINT256_MAX, MalformedAnswer, read_data, read_object, read_quantity
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.ids import Address, Hash32, LogId, to_hex

T = TypeVar("T")

MAX_RETURN_BYTES: Final = 4096
MAX_WRITERS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block's header, as far as an audit needs it. Units: `timestamp` in Unix seconds."""

    number: int
    hash: Hash32
    timestamp: int

    def age_s(self, now_s: float) -> float:
        """How long ago the block was made; negative for one that lies in the future."""
        return now_s - self.timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainTip:
    """Which chain a node serves, and how far it has come."""

    chain_id: int
    head: Block


class LedgerReader:
    """A typed, synchronous view of one log through one node."""

    def __init__(self, transport: Transport, contract: Address, log_id: LogId) -> None:
        self.transport = transport
        self.contract = contract
        self.log_id = log_id
        self.node = node_name(transport)

    # -- the node and its chain

    def chain_id(self) -> int:
        """The node's chain id."""
        return read_quantity(self.transport.call("eth_chainId", []), "chain id", UINT256_MAX)

    def tip(self) -> ChainTip:
        """The node's chain id and newest block."""
        return ChainTip(chain_id=self.chain_id(), head=self.latest_block())

    def require_chain(self, chain_id: int) -> None:
        """Refuse a node of another chain.

        Raises: OtherChain.
        """
        found = self.chain_id()
        if found != chain_id:
            raise OtherChain(chain_id, found)

    def require_block(self, number: int) -> Block:
        """The newest block of a node that has come to the block of this number.

        Raises: NodeBehind.
        """
        head = self.latest_block()
        if head.number < number:
            raise NodeBehind(number, head.number)
        return head

    def require_same(self, block: Block) -> None:
        """Ask for a block again: it must still be the one that it was.

        Raises: ChainMoved.
        """
        found = self.block(block.number).hash
        if found != block.hash:
            raise ChainMoved(block.number, block.hash, found)

    def latest_block(self) -> Block:
        """The newest block that the node has."""
        return self._block("latest")

    def block(self, number: int) -> Block:
        """The block of this number.

        Raises: ChainRejected when the node has none, MalformedAnswer when it shows another.
        """
        block = self._block(number)
        if block.number != number:
            raise MalformedAnswer("block", f"has the number {block.number}, not {number}")
        return block

    def block_at_time(self, time_s: int, last: Block | None = None) -> Block:
        """The first block that is not older than a time, up to `last` or the newest one.

        Raises: NodeBehind when there is none yet.
        """
        found = last or self.latest_block()
        if found.timestamp < time_s:
            raise NodeBehind(found.number + 1, found.number)
        low = 0
        while low < found.number:
            middle = self.block((low + found.number) // 2)
            if middle.timestamp >= time_s:
                found = middle
            else:
                low = middle.number + 1
        return found

    # -- the contract

    def code_hash(self, block: BlockTag = "latest") -> Hash32:
        """The keccak256 of the contract's code.

        Raises: ContractMissing.
        """
        answer = self.transport.call("eth_getCode", [to_hex(self.contract), write_tag(block)])
        code = read_data(answer, "code", max_size=MAX_CODE_BYTES)
        if not code:
            raise ContractMissing(self.contract, block)
        return Hash32(keccak256(code))

    def require_contract(self, known: frozenset[Hash32] | None = None, block: BlockTag = "latest") -> Hash32:
        """The code's hash, if it is one of those known, or of the contract that this package was made with.

        Raises: ContractMissing, OtherCode.
        """
        expected = frozenset({load_artifact().code_hash}) if known is None else known
        found = self.code_hash(block)
        if found not in expected:
            raise OtherCode(self.contract, expected, found)
        return found

    def log_state(self, block: BlockTag = "latest") -> LogState:
        """What the contract keeps of the log as it stands.

        Raises: LogMissing, ContractMissing, as every view below.
        """
        return self._ask(LOG_STATE, block)

    def log_terms(self, block: BlockTag = "latest") -> LogTermsOnChain:
        """What the log promised when it was created."""
        return self._ask(LOG_TERMS, block)

    def batch_at(self, number: int, block: BlockTag = "latest") -> BatchInfo:
        """What the contract keeps of a batch.

        Raises: ContractReverted with the name UnknownBatch.
        """
        return self._ask(BATCH_AT, block, number)

    def batch_of(self, index: int, block: BlockTag = "latest") -> int:
        """The number of the batch that holds a record.

        Raises: ContractReverted with the name UnknownIndex.
        """
        return self._ask(BATCH_OF, block, index)

    def writer_count(self, block: BlockTag = "latest") -> int:
        """How many writers the log has had, the present one included.

        Raises: MalformedAnswer for more than MAX_WRITERS, since a reader asks for each of them.
        """
        count = self._ask(WRITER_COUNT, block)
        if not 1 <= count <= MAX_WRITERS:
            raise MalformedAnswer("writerCount", f"is {count}, outside 1 to {MAX_WRITERS}")
        return count

    def writer_at(self, number: int, block: BlockTag = "latest") -> WriterSpan:
        """The writer of this number, from 0, and from where on it wrote.

        Raises: ContractReverted with the name UnknownSpan.
        """
        return self._ask(WRITER_AT, block, number)

    # -- the events

    def creation_block(self) -> int:
        """The number of the block in which the log was created, or of an earlier one of the same second: where a walk begins.

        The contract keeps the time; so it takes one header for each halving of the chain, and no node needs old states for it.
        """
        return self.block_at_time(self.log_terms().created_at).number

    def creation(self) -> LogCreated:
        """The event of the log's creation.

        Raises: EventsWithheld.
        """
        for event in self._events_at(self.log_terms().created_at, (LOG_CREATED,)):
            if isinstance(event, LogCreated):
                return event
        raise EventsWithheld(self.node, CREATION, 1)

    def events(
        self,
        from_block: int,
        to_block: int,
        on_page: Callable[[Page], None] | None = None,
        *,
        first_entry: int | None = None,
        end_entry: int | None = None,
    ) -> Iterator[LedgerEvent]:
        """Yield the log's events of these blocks, both included, in chain order, with no entry missing or repeated.

        `first_entry` and `end_entry` are how many entries the contract counts before the first block and after the last one; it is asked
        for what is not given, which needs a node that keeps the states of those blocks.
        Raises: EventsWithheld, MalformedAnswer, ChainRejected, ChainUnavailable.
        """
        if from_block > to_block:
            return iter(())
        first = self._entries_at(from_block - 1) if first_entry is None else first_entry
        end = self._entries_at(to_block) if end_entry is None else end_entry
        return self._walk(on_page).entries(from_block, to_block, first, end)

    def events_of(self, kind: bytes, from_block: int, to_block: int) -> Iterator[LedgerEvent]:
        """Yield the events of one kind, by its first topic, as the node shows them: nothing tells whether one is missing."""
        return self._scan(from_block, to_block, (kind,))

    def entry_event(self, entry: int, from_block: int, to_block: int) -> LedgerEntry:
        """The event of one entry that the contract counts, which stands in one of these blocks.

        Raises: EventsWithheld.
        """
        (event,) = self._walk().recover(entry, entry + 1, from_block, to_block)
        return event

    def batch_event(self, batch: int, block: BlockTag = "latest") -> BatchAppended | BatchCommitted:
        """The event of a batch, found by the time of its block, which the contract keeps.

        Raises: EventsWithheld; ContractReverted with the name UnknownBatch.
        """
        time_s = self.batch_at(batch, block).time
        for event in self._events_at(time_s, (BATCH_APPENDED, BATCH_COMMITTED)):
            if isinstance(event, BatchAppended | BatchCommitted) and event.batch == batch:
                return event
        raise EventsWithheld(self.node, f"batch {batch}", 1)

    def epoch_event(self, epoch: int, from_block: int, to_block: int) -> EpochOpened:
        """The event of an epoch that the contract counts, which stands in one of these blocks.

        Raises: EventsWithheld.
        """
        for event in self.events_of(EPOCH_OPENED, from_block, to_block):
            if isinstance(event, EpochOpened) and event.epoch == epoch:
                return event
        raise EventsWithheld(self.node, f"epoch {epoch}", 1)

    def _events_at(self, time_s: int, kinds: Sequence[bytes]) -> Iterator[LedgerEvent]:
        head = self.latest_block()
        first = self.block_at_time(time_s, head).number
        last = head.number if head.timestamp <= time_s else self.block_at_time(time_s + 1, head).number - 1
        return self._scan(first, last, kinds)

    def _scan(self, from_block: int, to_block: int, kinds: Sequence[bytes]) -> Iterator[LedgerEvent]:
        contract, log_id = self.contract, self.log_id
        return scan_events(
            self.transport, contract=contract, log_id=log_id, from_block=from_block, to_block=to_block, kinds=kinds
        )

    def _entries_at(self, block: int) -> int:
        if block < 0:
            return 0
        try:
            return self.log_state(block).entries
        except (LogMissing, ContractMissing):
            return 0

    def _walk(self, on_page: Callable[[Page], None] | None = None) -> EntryWalk:
        return EntryWalk(transport=self.transport, contract=self.contract, log_id=self.log_id, on_page=on_page)

    def _block(self, tag: BlockTag) -> Block:
        answer = self.transport.call("eth_getBlockByNumber", [write_tag(tag), False])
        if answer is None:
            raise ChainRejected(0, f"the node has no block {tag}")
        header = read_object(answer, "block")
        return Block(
            number=read_quantity(header.get("number"), "block number"),
            hash=Hash32(read_data(header.get("hash"), "block hash", 32)),
            timestamp=read_quantity(header.get("timestamp"), "block timestamp"),
        )

    def _ask(self, view: View[T], block: BlockTag, *numbers: int) -> T:
        request = {"to": to_hex(self.contract), "data": to_hex(view.call(self.log_id, *numbers))}
        try:
            answer = self.transport.call("eth_call", [request, write_tag(block)])
        except ChainRejected as error:
            explained = explain(error)
            if isinstance(explained, ContractReverted) and explained.name == "UnknownLog":
                raise LogMissing(self.log_id) from error
            raise explained from error
        returned = read_data(answer, "eth_call", max_size=MAX_RETURN_BYTES)
        if not returned:
            raise ContractMissing(self.contract, block)
        return view.read(returned)


def write_tag(block: BlockTag) -> str:
    """Write a block number or tag as a parameter."""
    return hex(block) if isinstance(block, int) else block
