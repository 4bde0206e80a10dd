"""The compiled contract on an EVM agrees with `tallystick.merkle` byte for byte, and refuses by the errors of its ABI."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tallystick.chain import derive_log_id
from tallystick.errors import MerkleError
from tallystick.ids import Address, FieldsRoot, Head, LogId
from tallystick.merkle import MAX_BATCH_RECORDS, inclusion_path, leaf_hash, next_head, root_from_path, tree_root
from tests.support.evm import EvmLedger, Landed, Reverted, address_bytes

pytestmark = pytest.mark.xdist_group("contract")  # one worker fills the shared log once

SALT = bytes(range(32))
UNKNOWN_LOG = b"\xee" * 32
MAX_COUNT = 33


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendedBatch:
    """One batch, what it was made of, and what the chain answered."""

    first_index: int
    fields_roots: tuple[bytes, ...]
    sealed: tuple[bytes, ...]
    leaves: tuple[bytes, ...]
    landed: Landed


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledLog:
    """A log that holds one batch of each size from 1 to MAX_COUNT: the batch's number is its size less 1."""

    ledger: EvmLedger
    log_id: LogId
    batches: tuple[AppendedBatch, ...]


def append_random(
    ledger: EvmLedger, log_id: LogId, first_index: int, count: int, source: random.Random
) -> AppendedBatch:
    roots = tuple(source.randbytes(32) for _ in range(count))
    sealed = tuple(source.randbytes(source.randint(1, 200)) for _ in range(count))
    leaves = tuple(
        leaf_hash(log_id, first_index + at, FieldsRoot(root), data)
        for at, (root, data) in enumerate(zip(roots, sealed, strict=True))
    )
    landed = ledger.append(log_id, first_index, roots, sealed)
    return AppendedBatch(first_index=first_index, fields_roots=roots, sealed=sealed, leaves=leaves, landed=landed)


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


def refusal(ledger: EvmLedger, function: str, *arguments: object, sender: str | None = None) -> Reverted:
    with pytest.raises(Reverted) as caught:
        ledger.send(function, *arguments, sender=sender)
    return caught.value


def test_each_records_event_carries_what_was_sent(filled: FilledLog) -> None:
    for batch in filled.batches:
        records = batch.landed.events[:-1]
        assert [event.name for event in records] == ["RecordAppended"] * len(batch.sealed)
        for at, event in enumerate(records):
            assert event.arguments == {
                "logId": filled.log_id,
                "index": batch.first_index + at,
                "fieldsRoot": batch.fields_roots[at],
                "sealed_": batch.sealed[at],
            }


def test_roots_and_heads_on_chain_equal_the_packages_for_1_to_33_records(filled: FilledLog) -> None:
    head = Head(filled.log_id)
    for number, batch in enumerate(filled.batches):
        root = tree_root(batch.leaves)
        head = next_head(head, root, batch.first_index, len(batch.leaves))
        assert batch.landed.events[-1].name == "BatchAppended"
        assert batch.landed.events[-1].arguments == {
            "logId": filled.log_id,
            "batch": number,
            "firstIndex": batch.first_index,
            "count": len(batch.leaves),
            "root": root,
            "head": head,
        }
        assert filled.ledger.call("batchAt", filled.log_id, number) == {
            "firstIndex": batch.first_index,
            "count": len(batch.leaves),
            "root": root,
        }
    assert filled.ledger.call("logState", filled.log_id)["head"] == head


def test_the_state_counts_what_was_appended(filled: FilledLog) -> None:
    state = filled.ledger.call("logState", filled.log_id)
    assert state["size"] == sum(len(batch.leaves) for batch in filled.batches)
    assert state["batchCount"] == MAX_COUNT
    assert state["epoch"] == 1
    assert address_bytes(state["writer"]) == address_bytes(filled.ledger.accounts[0])
    assert address_bytes(state["pendingWriter"]) == bytes(20)


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


def test_a_log_id_binds_chain_contract_creator_and_salt(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, log_id = fresh
    chain_id = ledger.tester.backend.chain.chain_id
    contract = Address(address_bytes(ledger.address))
    assert log_id == derive_log_id(chain_id, contract, Address(address_bytes(ledger.accounts[0])), SALT)


def test_an_opened_epoch_publishes_its_wraps(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, log_id = fresh
    ledger.append(log_id, 0, [bytes(32)], [b"sealed"])
    wraps = (b"first auditor", b"second auditor")
    (event,) = ledger.send("openEpoch", log_id, 2, wraps).events
    assert event.arguments == {"logId": log_id, "epoch": 2, "firstIndex": 1, "wraps": wraps}


def test_a_rotated_writer_appends_and_the_former_does_not(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, log_id = fresh
    former, following = ledger.accounts[:2]
    ledger.send("proposeWriter", log_id, following)
    ledger.send("acceptWriter", log_id, sender=following)
    error = refusal(ledger, "append", log_id, 0, [bytes(32)], [b"sealed"])
    assert (error.name, error.arguments[0], address_bytes(error.arguments[1])) == (
        "NotWriter",
        log_id,
        address_bytes(former),
    )
    ledger.send("append", log_id, 0, [bytes(32)], [b"sealed"], sender=following)


@pytest.mark.parametrize(
    ("function", "arguments", "name", "values"),
    [
        ("createLog", ("0x" + "00" * 20, SALT), "ZeroWriter", ()),
        ("createLog", ("0x" + "11" * 20, SALT), "LogExists", ("LOG",)),
        ("openEpoch", ("LOG", 1, [b"wrap"]), "EpochOutOfOrder", ("LOG", 2, 1)),
        ("openEpoch", ("LOG", 3, [b"wrap"]), "EpochOutOfOrder", ("LOG", 2, 3)),
        ("openEpoch", ("LOG", 2, []), "NoWraps", ()),
        ("openEpoch", (UNKNOWN_LOG, 1, [b"wrap"]), "UnknownLog", (UNKNOWN_LOG,)),
        ("append", ("LOG", 1, [bytes(32)], [b"x"]), "StaleIndex", ("LOG", 0, 1)),
        ("append", ("LOG", 0, [], []), "BadCount", (0, 1024)),
        ("append", ("LOG", 0, [bytes(32)] * 1025, [b"x"] * 1025), "BadCount", (1025, 1024)),
        ("append", ("LOG", 0, [bytes(32)] * 2, [b"x"]), "LengthMismatch", (2, 1)),
        ("append", ("LOG", 0, [bytes(32)] * 2, [b"x", b""]), "EmptySealed", (1,)),
        ("append", (UNKNOWN_LOG, 0, [bytes(32)], [b"x"]), "UnknownLog", (UNKNOWN_LOG,)),
        ("proposeWriter", (UNKNOWN_LOG, "0x" + "11" * 20), "UnknownLog", (UNKNOWN_LOG,)),
        ("acceptWriter", (UNKNOWN_LOG,), "UnknownLog", (UNKNOWN_LOG,)),
        ("logState", (UNKNOWN_LOG,), "UnknownLog", (UNKNOWN_LOG,)),
        ("batchAt", ("LOG", 0), "UnknownBatch", ("LOG", 0)),
        ("batchAt", (UNKNOWN_LOG, 0), "UnknownLog", (UNKNOWN_LOG,)),
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
    filled_in = [log_id if argument == "LOG" else argument for argument in arguments]
    error = refusal(ledger, function, *filled_in)
    assert error.name == name
    assert error.arguments == tuple(log_id if value == "LOG" else value for value in values)


@pytest.fixture(scope="module")
def empty_log() -> tuple[EvmLedger, LogId]:
    """A log with an open epoch and no record; whoever shares it sends only what is refused."""
    ledger = EvmLedger.deploy()
    return ledger, LogId(ledger.create_log(SALT))


def test_a_log_without_an_epoch_takes_no_record(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, _ = fresh
    log_id = ledger.create_log(bytes(32), epochs=0)
    error = refusal(ledger, "append", log_id, 0, [bytes(32)], [b"x"])
    assert (error.name, error.arguments) == ("NoOpenEpoch", (log_id,))


def test_only_the_proposed_writer_accepts(fresh: tuple[EvmLedger, LogId]) -> None:
    ledger, log_id = fresh
    stranger = ledger.accounts[2]
    ledger.send("proposeWriter", log_id, ledger.accounts[1])
    error = refusal(ledger, "acceptWriter", log_id, sender=stranger)
    assert (error.name, address_bytes(error.arguments[1])) == ("NotPendingWriter", address_bytes(stranger))
