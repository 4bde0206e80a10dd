"""The log as the API shows it: where it stands on the chain, its batches, and the evidence for one record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from tallystick.bundle.evidence import Anchor, Bundle, Evidence, sign_evidence
from tallystick.chain.reader import LedgerReader
from tallystick.errors import ChainError
from tallystick.heads import MODE_APPEND, MODE_COMMIT, LogTerms
from tallystick.ids import Head, checksum_address, to_hex
from tallystick.keys import Wallet
from tallystick.merkle import inclusion_path
from tallystick.receipts import signed
from tallystick.receipts.messages import Domain, HeadStatement
from tallystick.sealing import record_secret, sealed_header
from tallystick_platform.anchor.location import LedgerLocation
from tallystick_platform.anchor.service import AnchorService
from tallystick_platform.api.proofs import SignedHead
from tallystick_platform.clock import Clock
from tallystick_platform.settings import Settings
from tallystick_platform.shapes import Address, Count, Hash
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tallystick_platform.store.records import StoredRecord
from tallystick_platform.store.rows import AnchorState, Batch

LOOK_AGAIN_NS = 1_000_000_000  # how long one look at the chain is shown
READER_THREADS = 2
US_PER_S = 1_000_000
MODE_NAMES: Mapping[int, Literal["append", "commit"]] = {MODE_APPEND: "append", MODE_COMMIT: "commit"}

T = TypeVar("T")


class TermsView(Struct, frozen=True, kw_only=True):
    """What the log promises for life, and who can name its writers. Units: seconds. Source: SPEC 6."""

    creator: Address
    writer: Annotated[Address, Meta(description="The first one.")]
    keeper: Annotated[Address, Meta(description="Who alone can name another writer.")]
    format: Count
    mode: Annotated[
        Literal["append", "commit"], Meta(description="Whether sealed records or only roots stand on the chain.")
    ]
    promise: Annotated[int, Meta(ge=0, description="From an admission to its record's block, at most.")]
    skew: Annotated[int, Meta(ge=0, description="That the writer's clock may be from the chain's.")]
    salt: Hash


class LedgerView(Struct, frozen=True, kw_only=True):
    """The log as it is now. `size`, `entries` and `head` are the chain's, null while it does not answer.

    `signed_head` is the writer's word for how far the log goes for good: of what the writer itself put on the chain, never of what a
    node says alone; null before its first final entry. `mode` is how the service runs. Units: milliseconds.
    """

    chain_id: Count
    rpc_url: str | None
    contract: Address
    log_id: Hash
    writer: Address
    terms: TermsView
    size: Annotated[Count | None, Meta(description="Records on the chain.")]
    entries: Annotated[
        Count | None, Meta(description="Entries of the head chain: batches, epochs, writers, void numbers.")
    ]
    head: Hash | None
    signed_head: SignedHead | None
    journal_size: Annotated[int, Meta(ge=0, description="Records in the journal.")]
    journal_depth: Annotated[int, Meta(ge=0, description="Of these, how many no mined batch holds.")]
    anchor_lag_ms: Annotated[int, Meta(ge=0, description="Age of the oldest of them.")]
    anchor_error: str | None
    custody: str
    mode: Literal["development", "production"]
    epoch: Count | None


class BatchView(Struct, frozen=True, kw_only=True):
    """One batch on its way to the chain or on it. Units: block_time in Unix seconds."""

    number: Count
    entry: Annotated[int, Meta(ge=0, description="Its number in the head chain.")]
    first_index: Count
    count: Count
    epoch: Count
    root: Hash
    head: Hash
    state: Literal["planned", "sent", "mined", "final"]
    tx_hash: Hash | None
    block_number: Count | None
    block_hash: Hash | None
    block_time: Count | None
    confirmations: Count | None
    gas_used: Count | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLook:
    """What the chain last said of the log."""

    size: int
    entries: int
    head: Head
    epoch: int
    latest_block: int


@dataclass(kw_only=True, eq=False, repr=False)
class LedgerDesk:
    """Answers for one log. Reads of the chain and the database run in threads.

    The chain is looked at no more than once a second, unless more has been anchored since: what is shown never lacks records that
    the journal no longer counts as waiting.
    """

    settings: Settings
    rpc_url: str
    reader: LedgerReader
    location: LedgerLocation
    wallet: Wallet
    stored: Batches
    anchoring: AnchorService
    epoch_keys: EpochKeyFiles
    journal_size: Callable[[], int]
    clock: Clock

    def __post_init__(self) -> None:
        self._domain = Domain(chain_id=self.location.chain_id, contract=self.location.contract)
        self._look: ChainLook | None = None
        self._looked_at_ns: int | None = None
        self._looking = asyncio.Lock()
        self._threads = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="ledger-desk")

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def view(self) -> LedgerView:
        """The log as it is now."""
        status = await self._in_thread(self.anchoring.status)
        look = await self._chain_look()  # after the status: it may show more than was counted as anchored, never less
        return LedgerView(
            chain_id=self._domain.chain_id,
            rpc_url=self.rpc_url,
            contract=checksum_address(self._domain.contract),
            log_id=to_hex(self.location.log_id),
            writer=checksum_address(self.wallet.address),
            terms=terms_view(self.location.terms),
            size=None if look is None else look.size,
            entries=None if look is None else look.entries,
            head=None if look is None else to_hex(look.head),
            signed_head=None if look is None else await self._in_thread(lambda: self._signed_head(look)),
            journal_size=self.journal_size(),
            journal_depth=status.unanchored_records,
            anchor_lag_ms=status.lag_ms,
            anchor_error=status.error,
            custody=self.settings.custody,
            mode=self.settings.mode.value,
            epoch=None if look is None else look.epoch,
        )

    async def batches(self, *, before: int | None, limit: int) -> Sequence[BatchView]:
        """Batches below number `before`, newest first."""
        look = await self._chain_look()
        found = await self._in_thread(lambda: self.stored.page(before, limit))
        return [_shown(batch, look) for batch in found]

    async def batch(self, number: int) -> BatchView | None:
        """One batch."""
        found = await self._in_thread(lambda: self.stored.batch(number))
        return None if found is None else _shown(found, await self._chain_look())

    async def bundle(self, record: StoredRecord, *, with_secret: bool) -> bytes:
        """The evidence bundle of a record, as its file. The secret is in it only while the server still holds the epoch's key.

        Raises: RowTampered
        """
        return await self._in_thread(lambda: self._bundle(record, with_secret))

    def _bundle(self, record: StoredRecord, with_secret: bool) -> bytes:
        evidence = Evidence(
            domain=self._domain,
            terms=self.location.terms,
            log_id=self.location.log_id,
            index=record.index,
            epoch=record.epoch,
            fields_root=record.fields_root,
            sealed=record.sealed,
            receipt=record.receipt,
            anchor=self._anchor(record),
        )
        key = self.epoch_keys.load(record.epoch) if with_secret else None
        nonce = sealed_header(record.sealed).nonce
        return Bundle(
            evidence=evidence,
            attestation=sign_evidence(self.wallet, evidence),
            record_secret=None if key is None else record_secret(key, record.index, nonce),
        ).to_bytes()

    def _anchor(self, record: StoredRecord) -> Anchor | None:
        batch = self.stored.batch_holding(record.index)
        if batch is None or batch.mined is None or batch.state not in {AnchorState.MINED, AnchorState.FINAL}:
            return None
        leaves = self.stored.leaves(batch.first_index, batch.count)
        before = self.stored.head_at(batch.entry)
        if before is None:
            return None
        return Anchor(
            entry=batch.entry,
            batch=batch.number,
            first_index=batch.first_index,
            count=batch.count,
            root=batch.root,
            path=tuple(inclusion_path(leaves, record.index - batch.first_index)),
            previous_head=before,
            head=batch.head,
            tx_hash=batch.mined.tx_hash,
            block_number=batch.mined.block_number,
            block_hash=batch.mined.block_hash,
            block_time=batch.mined.block_time,
        )

    def _signed_head(self, look: ChainLook) -> SignedHead | None:
        """The writer's word for the entries that are final.

        It is given for what this journal put on the chain, and only while the chain shows it: a node that says otherwise does not get the
        writer to sign a head that its log does not pass through.
        """
        tip = self.stored.standing(final=True)
        if not tip.entries or look.entries < tip.entries or (look.entries == tip.entries and look.head != tip.head):
            return None
        statement = HeadStatement(
            log_id=self.location.log_id,
            entries=tip.entries,
            size=tip.size,
            head=tip.head,
            time=self.clock.now_us() // US_PER_S,
        )
        return msgspec.convert(signed.SignedHead.sign(self.wallet, self._domain, statement).to_json(), SignedHead)

    async def _chain_look(self) -> ChainLook | None:
        """The newest look at the chain; None while it does not answer."""
        async with self._looking:
            if self._must_look():
                self._look = await self._in_thread(self._look_at_chain)
                self._looked_at_ns = self.clock.monotonic_ns()
            return self._look

    def _must_look(self) -> bool:
        if self._looked_at_ns is None or self.clock.monotonic_ns() - self._looked_at_ns >= LOOK_AGAIN_NS:
            return True
        return self._look is not None and self._look.size < self.stored.anchored_size

    def _look_at_chain(self) -> ChainLook | None:
        try:
            state = self.reader.log_state()
            block = self.reader.latest_block()
        except ChainError:
            return None
        return ChainLook(
            size=state.size, entries=state.entries, head=state.head, epoch=state.epoch, latest_block=block.number
        )

    async def _in_thread(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)


def terms_view(terms: LogTerms) -> TermsView:
    """The log's terms as answers show them."""
    return TermsView(
        creator=checksum_address(terms.creator),
        writer=checksum_address(terms.writer),
        keeper=checksum_address(terms.keeper),
        format=terms.format,
        mode=MODE_NAMES[terms.mode],
        promise=terms.promise,
        skew=terms.skew,
        salt=to_hex(terms.salt),
    )


def _shown(batch: Batch, look: ChainLook | None) -> BatchView:
    mined, signed = batch.mined, batch.signed
    tx_hash = mined.tx_hash if mined is not None else (None if signed is None else signed.tx_hash)
    return BatchView(
        number=batch.number,
        entry=batch.entry,
        first_index=batch.first_index,
        count=batch.count,
        epoch=batch.epoch,
        root=to_hex(batch.root),
        head=to_hex(batch.head),
        state=batch.state.value,
        tx_hash=None if tx_hash is None else to_hex(tx_hash),
        block_number=None if mined is None else mined.block_number,
        block_hash=None if mined is None else to_hex(mined.block_hash),
        block_time=None if mined is None else mined.block_time,
        confirmations=None if mined is None or look is None else max(0, look.latest_block - mined.block_number),
        gas_used=None if mined is None else mined.gas_used,
    )
