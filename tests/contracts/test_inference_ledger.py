"""The compiled contract on an EVM agrees with the package byte for byte, and refuses by the errors of its ABI."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from tallystick import heads
from tallystick.chain import calls
from tallystick.chain.packing import pack_records, unpack_records
from tallystick.errors import MerkleError, TallystickError
from tallystick.heads import EntryKind, LogTerms, derive_log_id, next_head
from tallystick.ids import Address, FieldsRoot, Head, LogId, Root
from tallystick.merkle import MAX_BATCH_RECORDS, inclusion_path, leaf_hash, root_from_path, tree_root
from tests.support import calldata
from tests.support.evm import PROMISE_S, SKEW_S, WRAP_BYTES, EvmLedger, Landed, Reverted, address_bytes, sealed_like
from tests.support.evm import packed as packed_by_hand

pytestmark = pytest.mark.xdist_group("contract")  # one worker fills the shared log once

SALT = bytes(range(32))
UNKNOWN_LOG = b"\xee" * 32
SOMEBODY = "0x" + "11" * 20
MAX_COUNT = 33
WRAPS = bytes(WRAP_BYTES)
RECORD = (bytes(32), sealed_like(random.Random(0), 42, 1))
RECORDS = packed_by_hand([RECORD])


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendedBatch:
    """One batch, what it was made of, and what the chain answered."""

    first_index: int
    records: bytes
    leaves: tuple[bytes, ...]
    landed: Landed


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledLog:
    """A log that holds one batch of each size from 1 to MAX_COUNT: the batch's number is its size less 1, its entry its size."""

    ledger: EvmLedger
    log_id: LogId
    batches: tuple[AppendedBatch, ...]


def append_random(
    ledger: EvmLedger, log_id: LogId, first_index: int, count: int, source: random.Random
) -> AppendedBatch:
    records = [
        (
            FieldsRoot(source.randbytes(32)),
            sealed_like(source, source.randint(42, 240), number, flags=0x20 + number % 2),
        )
        for number in range(first_index + 1, first_index + 1 + count)
    ]
    leaves = tuple(leaf_hash(log_id, first_index + at, root, sealed) for at, (root, sealed) in enumerate(records))
    landed = ledger.follow("append", log_id, pack_records(records))
    return AppendedBatch(first_index=first_index, records=pack_records(records), leaves=leaves, landed=landed)


@pytest.fixture(scope="module")
def filled() -> FilledLog:
    source = random.Random(20_240_607)
    ledger = EvmLedger.deploy()
    log_id = LogId(ledger.create_log(SALT))
    batches: list[AppendedBatch] = []
    size = 0
    for count in range(1, MAX_COUNT + 1):
        batches.append(append_random(ledger, log_id, size, count, source))
        size += count
    return FilledLog(ledger=ledger, log_id=log_id, batches=tuple(batches))


@pytest.fixture
def fresh() -> tuple[EvmLedger, LogId]:
    ledger = EvmLedger.deploy()
    return ledger, LogId(ledger.create_log(SALT))


def terms_of(ledger: EvmLedger, salt: bytes = SALT, mode: int = 1) -> LogTerms:
    """The terms that `EvmLedger.create_log` uses."""
    writer, keeper = (Address(address_bytes(account)) for account in ledger.accounts[:2])
    return LogTerms(
        creator=writer, salt=salt, writer=writer, keeper=keeper, format=2, mode=mode, promise=PROMISE_S, skew=SKEW_S
    )


def head_after_epoch(log_id: LogId, epoch: int = 1, first_index: int = 0) -> Head:
    return next_head(Head(log_id), EntryKind.EPOCH, 0, heads.epoch_body(epoch, first_index, WRAPS))


def refusal(ledger: EvmLedger, function: str, *arguments: object, sender: str | None = None) -> Reverted:
    with pytest.raises(Reverted) as caught:
        ledger.send(function, *arguments, sender=sender)
    return caught.value


def test_leaves_roots_and_heads_on_chain_equal_the_packages_for_1_to_33_records(filled: FilledLog) -> None:
    head = head_after_epoch(filled.log_id)
    for number, batch in enumerate(filled.batches):
        root, count = tree_root(batch.leaves), len(batch.leaves)
        head = next_head(head, EntryKind.BATCH, number + 1, heads.batch_body(1, batch.first_index, count, root))
        (event,) = batch.landed.events
        assert event.name == "BatchAppended"
        assert event.arguments == {
            "logId": filled.log_id,
            "entry": number + 1,
            "batch": number,
            "firstIndex": batch.first_index,
            "count": count,
            "epoch": 1,
            "root": root,
            "head": head,
            "records": batch.records,
        }
        info = filled.ledger.call("batchAt", filled.log_id, number)
        assert (info["firstIndex"], info["count"], info["epoch"], info["root"]) == (batch.first_index, count, 1, root)
    assert filled.ledger.call("logState", filled.log_id)["head"] == head


def test_what_an_event_carries_unpacks_to_the_leaves(filled: FilledLog) -> None:
    for batch in filled.batches:
        records = unpack_records(batch.landed.events[0].arguments["records"])
        leaves = [
            leaf_hash(filled.log_id, batch.first_index + at, record.fields_root, record.sealed)
            for at, record in enumerate(records)
        ]
        assert tuple(leaves) == batch.leaves


def test_the_calldata_sent_is_the_packages(filled: FilledLog) -> None:
    head = head_after_epoch(filled.log_id)
    for batch in filled.batches:
        assert batch.landed.calldata == calldata.append(filled.log_id, head, batch.records)
        head = Head(batch.landed.events[0].arguments["head"])


def test_the_state_counts_what_was_appended(filled: FilledLog) -> None:
    state = filled.ledger.call("logState", filled.log_id)
    assert state["size"] == sum(len(batch.leaves) for batch in filled.batches)
    assert (state["batchCount"], state["entries"]) == (MAX_COUNT, MAX_COUNT + 1)
    assert (state["epoch"], state["epochOpen"]) == (1, True)
    assert address_bytes(state["writer"]) == address_bytes(filled.ledger.accounts[0])


def test_each_index_is_found_in_its_batch(filled: FilledLog) -> None:
    for number, batch in enumerate(filled.batches):
        for index in {batch.first_index, batch.first_index + len(batch.leaves) - 1}:
            assert filled.ledger.call("batchOf", filled.log_id, index) == number


def test_a_batch_keeps_the_time_of_its_block(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, log_id = fresh
    ledger.follow("append", log_id, RECORDS)
    block = ledger.tester.get_block_by_number("latest")
    assert ledger.call("batchAt", log_id, 0)["time"] == block["timestamp"]


def test_the_view_verifies_every_position_of_1_to_33_records(filled: FilledLog) -> None:
    for number, batch in enumerate(filled.batches):
        for position, leaf in enumerate(batch.leaves):
            path = inclusion_path(batch.leaves, position)
            assert verify(filled, number, batch.first_index + position, leaf, path)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 21, 33])
def test_the_view_refuses_what_the_package_refuses(filled: FilledLog, count: int) -> None:
    batch = filled.batches[count - 1]
    position = count * 2 // 3
    leaf, path = batch.leaves[position], inclusion_path(batch.leaves, position)
    other = bytes(32)
    faults: list[tuple[int, bytes, list[bytes]]] = [(position, other, path), (position, leaf, [*path, other])]
    faults += [(elsewhere, leaf, path) for elsewhere in range(-1, count + 2) if elsewhere != position]
    faults += [(position, leaf, path[:length]) for length in range(len(path))]
    faults += [(position, leaf, [*path[:at], other, *path[at + 1 :]]) for at in range(len(path))]
    root = tree_root(batch.leaves)
    for at, shown, way in faults:
        index = batch.first_index + at
        if index >= 0:
            assert not verify(filled, count - 1, index, shown, way), (at, shown, way)
        assert not accepted_by_package(shown, at, count, way, root)


def verify(filled: FilledLog, batch: int, index: int, leaf: bytes, path: Sequence[bytes]) -> bool:
    answer: bool = filled.ledger.call("verify", filled.log_id, batch, index, leaf, path)
    return answer


def accepted_by_package(leaf: bytes, position: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    try:
        return root_from_path(leaf, position, size, path) == root
    except MerkleError:
        return False


def test_a_full_batch_has_the_packages_root(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, log_id = fresh
    batch = append_random(ledger, log_id, 0, MAX_BATCH_RECORDS, random.Random(3))
    assert ledger.call("batchAt", log_id, 0)["root"] == tree_root(batch.leaves)


@pytest.mark.parametrize("mode", [1, 2])
def test_a_log_id_binds_chain_contract_and_terms(fresh: tuple[EvmLedger, LogId], mode: int) -> None:
    ledger, _ = fresh
    log_id = ledger.create_log(bytes(32), mode=mode)
    chain_id = ledger.tester.backend.chain.chain_id
    contract = Address(address_bytes(ledger.address))
    assert log_id == derive_log_id(chain_id, contract, terms_of(ledger, bytes(32), mode))
    terms = ledger.call("logTerms", log_id)
    assert address_bytes(terms["keeper"]) == address_bytes(ledger.accounts[1])
    assert (terms["format"], terms["mode"], terms["promise_"], terms["skew"]) == (2, mode, PROMISE_S, SKEW_S)


def test_every_kind_of_entry_gives_the_packages_head(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, _ = fresh
    writer, keeper, following = ledger.accounts[:3]
    log_id = LogId(ledger.create_log(bytes(32), mode=2))
    root = Root(b"\x0a" * 32)
    bodies = [
        (EntryKind.EPOCH, heads.epoch_body(1, 0, WRAPS)),
        (EntryKind.COMMIT, heads.batch_body(1, 0, 7, root)),
        (EntryKind.VOID, heads.void_body(8, 90)),
        (EntryKind.WRITER, heads.writer_body(ledger_address(writer), ledger_address(following), 7, 90)),
        (EntryKind.EPOCH, heads.epoch_body(2, 7, WRAPS * 2)),
        (EntryKind.COMMIT, heads.batch_body(2, 7, 1024, root)),
    ]
    landed = [
        ledger.follow("commit", log_id, 7, root),
        ledger.follow("voidNumbers", log_id, 8, 90),
        ledger.follow("rotateWriter", log_id, following, 90, sender=keeper),
        ledger.follow("openEpoch", log_id, 2, WRAPS * 2, sender=following),
        ledger.follow("commit", log_id, 1024, root, sender=following),
    ]
    head = Head(log_id)
    expected = []
    for entry, (kind, body) in enumerate(bodies):
        head = next_head(head, kind, entry, body)
        expected.append((entry, head))
    found = [(sent.events[0].arguments["entry"], sent.events[0].arguments["head"]) for sent in landed]
    assert found == expected[1:]
    assert ledger.call("logState", log_id)["head"] == head


def ledger_address(account: str) -> Address:
    return Address(address_bytes(account))


def test_an_opened_epoch_publishes_its_wraps(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, log_id = fresh
    ledger.follow("append", log_id, RECORDS)
    wraps = random.Random(1).randbytes(2 * WRAP_BYTES)
    landed = ledger.follow("openEpoch", log_id, 2, wraps)
    (event,) = landed.events
    expected = {"logId": log_id, "entry": 2, "epoch": 2, "firstIndex": 1, "wraps": wraps}
    assert {name: value for name, value in event.arguments.items() if name != "head"} == expected
    assert calls.read_call(landed.calldata).log_id == log_id


def test_a_span_begins_where_the_keeper_named_another_writer(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, log_id = fresh
    writer, keeper, following = ledger.accounts[:3]
    ledger.follow("append", log_id, RECORDS)
    ledger.follow("rotateWriter", log_id, following, 5, sender=keeper)
    assert ledger.call("writerCount", log_id) == 2
    spans = [ledger.call("writerAt", log_id, number) for number in range(2)]
    assert [address_bytes(span["writer"]) for span in spans] == [address_bytes(writer), address_bytes(following)]
    assert [(span["firstIndex"], span["firstAdmission"]) for span in spans] == [(0, 1), (1, 6)]
    assert spans[0]["since"] == ledger.call("logTerms", log_id)["createdAt"] < spans[1]["since"]


def test_a_new_writer_opens_an_epoch_and_appends_and_the_former_does_not(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, log_id = fresh
    former, keeper, following = ledger.accounts[:3]
    ledger.follow("rotateWriter", log_id, following, 0, sender=keeper)
    with pytest.raises(Reverted, match="NoOpenEpoch"):
        ledger.follow("append", log_id, RECORDS, sender=following)
    ledger.follow("openEpoch", log_id, 2, WRAPS, sender=following)
    with pytest.raises(Reverted, match="NotWriter") as caught:
        ledger.follow("append", log_id, RECORDS)
    assert address_bytes(caught.value.arguments[1]) == address_bytes(former)
    ledger.follow("append", log_id, RECORDS, sender=following)


ODD_CALLDATA: dict[str, Callable[[bytes], bytes]] = {
    "bytes after the last argument": lambda data: data + b"more",
    "no padding": lambda data: data[: -(-len(RECORDS) % 32)],
    "dirty padding": lambda data: data[:-1] + b"\x01",
    "another offset": lambda data: data[:68] + (128).to_bytes(32, "big") + bytes(32) + data[100:],
    "cut within the records": lambda data: data[: -(-len(RECORDS) % 32) - 1],
    "an offset beyond the end": lambda data: data[:68] + (2**63).to_bytes(32, "big") + data[100:],
    "an offset of 2^64": lambda data: data[:68] + (2**64).to_bytes(32, "big") + data[100:],
}


@pytest.mark.parametrize("change", ODD_CALLDATA)
def test_calldata_in_an_odd_form_is_read_by_the_package_where_the_contract_takes_it(
    fresh: tuple[EvmLedger, LogId], change: str
) -> None:
    ledger, log_id = fresh
    sent = ODD_CALLDATA[change](calldata.append(log_id, head_after_epoch(log_id), RECORDS))
    try:
        call = calls.read_call(sent)
    except calls.CallError:
        assert not ledger.takes(sent)
    else:
        assert ledger.takes(sent)
        assert call == calls.AppendCall(log_id=log_id, head=head_after_epoch(log_id), records=RECORDS)


GOOD = sealed_like(random.Random(5), 60, 9)


@pytest.mark.parametrize(
    ("packed", "name", "values"),
    [
        (b"", "BadCount", (0, 1024)),
        (packed_by_hand([RECORD] * 1025), "BadCount", (1025, 1024)),
        (RECORDS[:59], "TruncatedRecord", (0,)),
        (RECORDS[:-1], "TruncatedRecord", (0,)),
        (RECORDS + b"\x00", "TruncatedRecord", (1,)),
        (RECORDS + RECORDS[:-1], "TruncatedRecord", (1,)),
        (RECORDS + packed_by_hand([(bytes(32), GOOD[:41])]), "BadCiphertext", (1, 16, 17, 122_896)),
        (packed_by_hand([(bytes(32), GOOD + bytes(122_896 - 34))]), "BadCiphertext", (0, 122_897, 17, 122_896)),
        (RECORDS + packed_by_hand([(bytes(32), b"\x10" + GOOD[1:])]), "BadHeader", (1,)),
        (packed_by_hand([(bytes(32), b"\x22" + GOOD[1:])]), "BadHeader", (0,)),
        (packed_by_hand([(bytes(32), b"\x20" + bytes(8) + GOOD[9:])]), "BadHeader", (0,)),
        (packed_by_hand([(bytes(32), b"\x20" + (2**53).to_bytes(8, "big") + GOOD[9:])]), "BadHeader", (0,)),
    ],
)
def test_records_that_the_package_refuses_are_refused_by_name(
    empty_log: tuple[EvmLedger, LogId], packed: bytes, name: str, values: tuple[int, ...]
) -> None:
    ledger, log_id = empty_log
    error = refusal(ledger, "append", log_id, head_after_epoch(log_id), packed)
    assert (error.name, error.arguments) == (name, values)
    with pytest.raises(TallystickError):
        unpack_records(packed)


@pytest.mark.parametrize(
    "packed",
    [
        packed_by_hand([(bytes(32), GOOD[:42])]),
        packed_by_hand([(bytes(32), GOOD + bytes(122_896 - 35))]),
        packed_by_hand([(bytes(32), b"\x21" + (2**53 - 1).to_bytes(8, "big") + GOOD[9:])]),
    ],
)
def test_records_at_their_bounds_are_taken(fresh: tuple[EvmLedger, LogId], packed: bytes) -> None:
    ledger, log_id = fresh
    (record,) = unpack_records(packed)
    ledger.follow("append", log_id, packed)
    leaf = leaf_hash(log_id, 0, record.fields_root, record.sealed)
    assert ledger.call("batchAt", log_id, 0)["root"] == leaf


@pytest.mark.parametrize(
    ("function", "arguments", "name", "values"),
    [
        ("createLog", ("0x" + "00" * 20, SOMEBODY, 1, 60, 0, SALT), "ZeroWriter", ()),
        ("createLog", (SOMEBODY, SOMEBODY, 0, 60, 0, SALT), "BadMode", (0,)),
        ("createLog", (SOMEBODY, SOMEBODY, 3, 60, 0, SALT), "BadMode", (3,)),
        ("createLog", (SOMEBODY, SOMEBODY, 1, 59, 0, SALT), "BadPromise", (59, 60, 2_592_000)),
        ("createLog", (SOMEBODY, SOMEBODY, 1, 2_592_001, 0, SALT), "BadPromise", (2_592_001, 60, 2_592_000)),
        ("createLog", (SOMEBODY, SOMEBODY, 1, 60, 3_601, SALT), "BadSkew", (3_601, 3_600)),
        ("createLog", ("WRITER", "KEEPER", 1, PROMISE_S, SKEW_S, SALT), "LogExists", ("LOG",)),
        ("openEpoch", ("LOG", "HEAD", 1, WRAPS), "EpochOutOfOrder", ("LOG", 2, 1)),
        ("openEpoch", ("LOG", "HEAD", 3, WRAPS), "EpochOutOfOrder", ("LOG", 2, 3)),
        ("openEpoch", ("LOG", "HEAD", 2, b""), "BadWraps", (0, 1_176, 64)),
        ("openEpoch", ("LOG", "HEAD", 2, WRAPS[:-1]), "BadWraps", (1_175, 1_176, 64)),
        ("openEpoch", ("LOG", "HEAD", 2, WRAPS * 65), "BadWraps", (76_440, 1_176, 64)),
        ("openEpoch", ("LOG", UNKNOWN_LOG, 2, WRAPS), "StaleHead", ("LOG", "HEAD", UNKNOWN_LOG)),
        ("openEpoch", (UNKNOWN_LOG, "HEAD", 1, WRAPS), "UnknownLog", (UNKNOWN_LOG,)),
        ("append", ("LOG", "LOG", RECORDS), "StaleHead", ("LOG", "HEAD", "LOG")),
        ("append", (UNKNOWN_LOG, "HEAD", RECORDS), "UnknownLog", (UNKNOWN_LOG,)),
        ("commit", ("LOG", "HEAD", 1, SALT), "WrongMode", ("LOG", 1)),
        ("commit", (UNKNOWN_LOG, "HEAD", 1, SALT), "UnknownLog", (UNKNOWN_LOG,)),
        ("rotateWriter", ("LOG", "HEAD", SOMEBODY, 1), "NotKeeper", ("LOG", "WRITER")),
        ("rotateWriter", (UNKNOWN_LOG, "HEAD", SOMEBODY, 1), "UnknownLog", (UNKNOWN_LOG,)),
        ("voidNumbers", ("LOG", "HEAD", 0, 1), "BadNumbers", (0, 1, 2**53 - 1)),
        ("voidNumbers", ("LOG", "HEAD", 2, 1), "BadNumbers", (2, 1, 2**53 - 1)),
        ("voidNumbers", ("LOG", "HEAD", 1, 2**53), "BadNumbers", (1, 2**53, 2**53 - 1)),
        ("voidNumbers", ("LOG", "LOG", 1, 1), "StaleHead", ("LOG", "HEAD", "LOG")),
        ("voidNumbers", (UNKNOWN_LOG, "HEAD", 1, 1), "UnknownLog", (UNKNOWN_LOG,)),
        ("logState", (UNKNOWN_LOG,), "UnknownLog", (UNKNOWN_LOG,)),
        ("logTerms", (UNKNOWN_LOG,), "UnknownLog", (UNKNOWN_LOG,)),
        ("batchAt", ("LOG", 0), "UnknownBatch", ("LOG", 0)),
        ("batchAt", (UNKNOWN_LOG, 0), "UnknownLog", (UNKNOWN_LOG,)),
        ("batchOf", ("LOG", 0), "UnknownIndex", ("LOG", 0)),
        ("batchOf", (UNKNOWN_LOG, 0), "UnknownLog", (UNKNOWN_LOG,)),
        ("writerAt", ("LOG", 1), "UnknownSpan", ("LOG", 1)),
        ("writerAt", (UNKNOWN_LOG, 0), "UnknownLog", (UNKNOWN_LOG,)),
        ("writerCount", (UNKNOWN_LOG,), "UnknownLog", (UNKNOWN_LOG,)),
        ("verify", ("LOG", 0, 0, bytes(32), []), "UnknownBatch", ("LOG", 0)),
        ("verify", (UNKNOWN_LOG, 0, 0, bytes(32), []), "UnknownLog", (UNKNOWN_LOG,)),
    ],
)
def test_a_refusal_names_its_reason(
    empty_log: tuple[EvmLedger, LogId],
    function: str,
    arguments: tuple[object, ...],
    name: str,
    values: tuple[object, ...],
) -> None:
    ledger, log_id = empty_log
    writer, keeper = ledger.accounts[:2]
    meant = {"LOG": log_id, "HEAD": head_after_epoch(log_id), "WRITER": writer, "KEEPER": keeper}

    def filled_in(given: tuple[object, ...]) -> list[object]:
        return [meant.get(value, value) if isinstance(value, str) else value for value in given]

    error = refusal(ledger, function, *filled_in(arguments))
    assert error.name == name
    assert [_plain(value) for value in error.arguments] == [_plain(value) for value in filled_in(values)]


def _plain(value: object) -> object:
    return address_bytes(value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def empty_log() -> tuple[EvmLedger, LogId]:
    """A log with an open epoch and no record; whoever shares it sends only what is refused."""
    ledger = EvmLedger.deploy()
    return ledger, LogId(ledger.create_log(SALT))


@pytest.mark.parametrize(
    ("writer", "last", "name"),
    [(SOMEBODY, 5, "BadLastAdmission"), (SOMEBODY, 2**53 - 1, "BadLastAdmission"), ("0x" + "00" * 20, 6, "ZeroWriter")],
)
def test_a_keeper_cannot_take_back_numbers_or_name_nobody(
    fresh: tuple[EvmLedger, LogId], writer: str, last: int, name: str
) -> None:
    ledger, log_id = fresh
    keeper = ledger.accounts[1]
    ledger.follow("rotateWriter", log_id, ledger.accounts[2], 6, sender=keeper)
    with pytest.raises(Reverted, match=name):
        ledger.follow("rotateWriter", log_id, writer, last, sender=keeper)
    ledger.follow("rotateWriter", log_id, SOMEBODY, 6, sender=keeper)


def test_a_log_that_commits_takes_roots_and_no_records() -> None:
    ledger = EvmLedger.deploy()
    log_id = ledger.create_log(SALT, mode=2)
    with pytest.raises(Reverted, match="WrongMode"):
        ledger.follow("append", log_id, RECORDS)
    for count in (0, 1025):
        with pytest.raises(Reverted, match="BadCount"):
            ledger.follow("commit", log_id, count, SALT)
    ledger.follow("commit", log_id, 1024, SALT)
    assert ledger.call("logState", log_id)["size"] == 1024


@pytest.mark.parametrize(("mode", "function", "arguments"), [(1, "append", (RECORDS,)), (2, "commit", (1, SALT))])
def test_a_log_without_an_epoch_takes_no_batch(mode: int, function: str, arguments: tuple[object, ...]) -> None:
    ledger = EvmLedger.deploy()
    log_id = ledger.create_log(bytes(32), mode=mode, epochs=0)
    with pytest.raises(Reverted) as caught:
        ledger.follow(function, log_id, *arguments)
    assert (caught.value.name, caught.value.arguments) == ("NoOpenEpoch", (log_id,))
