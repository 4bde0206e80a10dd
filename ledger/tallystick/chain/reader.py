"""What an auditor asks a node about one log: read only, and nothing believed that can be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.chain import calldata
from tallystick.chain.artifact import MAX_CODE_BYTES
from tallystick.chain.calldata import BatchInfo, LogState
from tallystick.chain.events import LOG_CREATED, LedgerEvent, LogCreated, decode_events
from tallystick.chain.reverts import ContractReverted, explain
from tallystick.chain.rpc import AnswerTooLarge, AnswerTooSlow, Transport
from tallystick.chain.scan import Page, log_query, scan_events
from tallystick.chain.wire import MalformedAnswer, read_data, read_object, read_quantity
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.ids import Address, Hash32, Index, Leaf, LogId, checksum_address, to_hex

MAX_RETURN_BYTES: Final = 4096
BlockTag = int | str
"""A block number, or one of `latest`, `safe`, `finalized`, `earliest`, `pending`."""


class ContractMissing(ChainRejected):
    """There is no code at the contract's address."""

    def __init__(self, contract: Address, block: BlockTag) -> None:
        super().__init__(0, f"there is no contract at {checksum_address(contract)} in block {block}")
        self.contract = contract


class LogMissing(ChainRejected):
    """The contract knows no log of this id."""

    def __init__(self, log_id: LogId) -> None:
        super().__init__(0, f"the contract has no log {to_hex(log_id)}")
        self.log_id = log_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block's header, as far as an audit needs it. Units: `timestamp` in Unix seconds."""

    number: int
    hash: Hash32
    timestamp: int


class LedgerReader:
    """A typed, synchronous view of one log through one node."""

    def __init__(self, transport: Transport, contract: Address, log_id: LogId) -> None:
        self.transport = transport
        self.contract = contract
        self.log_id = log_id

    def chain_id(self) -> int:
        """The node's chain id."""
        return read_quantity(self.transport.call("eth_chainId", []), "chain id")

    def code_hash(self, block: BlockTag = "latest") -> Hash32:
        """The keccak256 of the contract's code.

        Raises: ContractMissing.
        """
        answer = self.transport.call("eth_getCode", [to_hex(self.contract), write_tag(block)])
        code = read_data(answer, "code", max_size=MAX_CODE_BYTES)
        if not code:
            raise ContractMissing(self.contract, block)
        return Hash32(keccak256(code))

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

    def log_state(self, block: BlockTag = "latest") -> LogState:
        """What the contract keeps of the log.

        Raises: LogMissing, ContractMissing.
        """
        return calldata.read_log_state(self._call(calldata.log_state(self.log_id), block))

    def batch(self, number: int, block: BlockTag = "latest") -> BatchInfo:
        """What the contract keeps of a batch.

        Raises: ContractReverted with the name UnknownBatch, LogMissing, ContractMissing.
        """
        return calldata.read_batch(self._call(calldata.batch_at(self.log_id, number), block))

    def verify_inclusion(
        self, batch: int, index: Index, leaf: Leaf, path: Sequence[Hash32], block: BlockTag = "latest"
    ) -> bool:
        """The contract's own view of whether the leaf stands at this index of this batch."""
        return calldata.read_verified(self._call(calldata.verify(self.log_id, batch, index, leaf, path), block))

    def events(
        self, from_block: int, to_block: int, on_page: Callable[[Page], None] | None = None
    ) -> Iterator[LedgerEvent]:
        """Yield the log's events of these blocks, both included, in chain order; see `scan_events`."""
        return scan_events(
            self.transport,
            contract=self.contract,
            log_id=self.log_id,
            from_block=from_block,
            to_block=to_block,
            on_page=on_page,
        )

    def events_of(
        self, event: bytes, from_block: int, to_block: int, number: int | None = None
    ) -> Iterator[LedgerEvent]:
        """Yield the events of one kind, by its first topic, and of one index, batch or epoch if `number` is given."""
        return scan_events(
            self.transport,
            contract=self.contract,
            log_id=self.log_id,
            from_block=from_block,
            to_block=to_block,
            event=event,
            number=number,
        )

    def creation_block(self) -> int:
        """The number of the block in which the log was created: where a walk over it begins.

        One query over the whole chain where the node allows that; otherwise a search among old states; otherwise, on a
        node that keeps no old states either, a walk from the first block.
        Raises: LogMissing, ContractMissing.
        """
        self.log_state()
        latest = self.latest_block().number
        try:
            return self._created_between(0, latest)
        except (ChainRejected, AnswerTooLarge, AnswerTooSlow):
            pass
        try:
            number = self._first_block_with_log(latest)
            return self._created_between(number, number)
        except ChainRejected:
            walk = self.events(0, latest)
        for event in walk:
            if isinstance(event, LogCreated):
                return event.position.block_number
        raise MalformedAnswer("eth_getLogs", "shows no creation of a log that the contract has")

    def _created_between(self, first: int, last: int) -> int:
        query = log_query(self.contract, first, last, [to_hex(LOG_CREATED), to_hex(self.log_id)])
        answer = self.transport.call("eth_getLogs", [query])
        events = decode_events(answer, contract=self.contract, log_id=self.log_id, from_block=first, to_block=last)
        if len(events) != 1 or not isinstance(events[0], LogCreated):
            raise MalformedAnswer("eth_getLogs", f"shows {len(events)} creations of one log")
        return events[0].position.block_number

    def _first_block_with_log(self, latest: int) -> int:
        low, high = 0, latest  # the log exists in `high`, and in no block below `low`
        while low < high:
            middle = (low + high) // 2
            try:
                self.log_state(middle)
            except (LogMissing, ContractMissing):
                low = middle + 1
            else:
                high = middle
        return high

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

    def _call(self, data: bytes, block: BlockTag) -> bytes:
        request = {"to": to_hex(self.contract), "data": to_hex(data)}
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
        return returned


def write_tag(block: BlockTag) -> str:
    """Write a block number or tag as a parameter."""
    return hex(block) if isinstance(block, int) else block
