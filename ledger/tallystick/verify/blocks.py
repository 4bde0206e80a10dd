"""The blocks of a walk: each asked for once, held to be the one that the events name, and to be a second node's too where there is one."""

from __future__ import annotations

from typing import Final

from tallystick.chain.events import LogPosition
from tallystick.chain.faults import ChainMoved
from tallystick.chain.reader import Block, LedgerReader
from tallystick.chain.views import LogState
from tallystick.errors import ChainError, Party, TimesError
from tallystick.ids import Hash32, to_hex
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Gap, Step

SECOND_SILENT: Final = "of block {}, which the second node does not show: {}"
SECOND_DIFFERS: Final = "of block {}, which the second node shows otherwise: {}"
SECOND_STATE: Final = "of block {}, at which the second node shows the log in another state"
SECOND_REMEDY: Final = "a third node: one of the two is behind, of another chain, or lies"


class Blocks:
    """The block that the walk is in, asked for once, and held to be the one that the events name, and that a second node shows."""

    def __init__(self, tally: Tally, reader: LedgerReader, second: LedgerReader | None) -> None:
        self._tally = tally
        self._reader = reader
        self._second = second
        self._number = -1
        self._hash = Hash32(b"")
        self._time = 0

    def time_of(self, position: LogPosition) -> int:
        """The block's time. Units: Unix seconds. Raises: ChainMoved."""
        if position.block_number != self._number:
            block = self._reader.block(position.block_number)
            if block.timestamp < self._time:
                expected = f"a time no earlier than block {self._number}'s, {self._time}"
                self._tally.fail(TimesError(f"block {block.number}", expected, str(block.timestamp), Party.NODE))
            self._number, self._hash, self._time = block.number, block.hash, block.timestamp
            self._compare(block)
        if position.block_hash != self._hash:
            raise ChainMoved(position.block_number, position.block_hash, self._hash)
        return self._time

    def finish(self, head: Block, state: LogState, chain_id: int) -> None:
        """The second node shows the last block too, and the log's state there: what is not in the log is then not hidden by one node."""
        second, tally = self._second, self._tally
        if second is None:
            return
        self._compare(head)
        try:
            second.require_chain(chain_id)
            if second.log_state(head.number) != state:
                self._contest(SECOND_STATE.format(head.number))
        except ChainError as error:
            self._contest(SECOND_SILENT.format(head.number, error))
        if not tally.contested:
            tally.witnessed = True
            tally.held[Step.HEADS] += 1

    def _compare(self, block: Block) -> None:
        if self._second is None or self._tally.contested:  # one difference is enough; the later blocks differ too
            return
        try:
            other = self._second.block(block.number)
        except ChainError as error:
            self._contest(SECOND_SILENT.format(block.number, error))
            return
        if other != block:
            shown = f"{to_hex(block.hash)} of {block.timestamp} here, {to_hex(other.hash)} of {other.timestamp} there"
            self._contest(SECOND_DIFFERS.format(block.number, shown))

    def _contest(self, text: str) -> None:
        self._tally.contested = True
        self._tally.block(Step.HEADS, Gap(text, SECOND_REMEDY), 0)
