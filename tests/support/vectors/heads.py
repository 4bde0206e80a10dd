"""Vectors of a log's identifier, its head chain, and packed records (SPEC 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tallystick.chain.packing import pack_records
from tallystick.hashing import keccak256
from tallystick.heads import EntryKind, batch_body, epoch_body, next_head, void_body, writer_body
from tallystick.ids import Address, FieldsRoot, Head, to_hex
from tallystick.merkle import tree_root
from tests.support.vectors.cast import DOMAIN, KEEPER, LOG_ID, SENDER, TERMS, WRITER
from tests.support.vectors.keys import FROZEN_WRAP
from tests.support.vectors.seals import RECORDS, sealed_at


def head_vectors() -> dict[str, Any]:
    """A log's identifier from its terms, and its head after each of its entries; no single part of these can be changed."""
    head, entries = Head(LOG_ID), []
    for number, (name, kind, body) in enumerate(_entries()):
        after = next_head(head, kind, number, body)
        entries.append(
            {
                "name": name,
                "kind": int(kind),
                "entry": number,
                "body": body.hex(),
                "previous": head.hex(),
                "head": after.hex(),
            }
        )
        head = after
    return {
        "chain_id": DOMAIN.chain_id,
        "contract": to_hex(DOMAIN.contract),
        "terms": {
            "creator": to_hex(TERMS.creator),
            "salt": TERMS.salt.hex(),
            "writer": to_hex(TERMS.writer),
            "keeper": to_hex(TERMS.keeper),
            "format": TERMS.format,
            "mode": TERMS.mode,
            "promise": TERMS.promise,
            "skew": TERMS.skew,
        },
        "log_id": LOG_ID.hex(),
        "wraps": FROZEN_WRAP.read_text().strip(),
        "entries": entries,
    }


def _entries() -> Iterator[tuple[str, EntryKind, bytes]]:
    wraps = bytes.fromhex(FROZEN_WRAP.read_text().strip())
    one = tree_root([keccak256(b"leaf 0")])
    three = tree_root([keccak256(f"leaf {number}".encode()) for number in (1, 2, 3)])
    last = tree_root([keccak256(b"the last leaf")])
    yield "an epoch", EntryKind.EPOCH, epoch_body(1, 0, wraps)
    yield "a batch of one record", EntryKind.BATCH, batch_body(1, 0, 1, one)
    yield "a batch of three records", EntryKind.BATCH, batch_body(1, 1, 3, three)
    yield "another writer", EntryKind.WRITER, writer_body(WRITER.address, SENDER.address, 4, 4)
    yield "the new writer's epoch", EntryKind.EPOCH, epoch_body(3, 4, wraps)
    yield "void numbers", EntryKind.VOID, void_body(5, 2**53 - 1)
    yield "no writer any more", EntryKind.WRITER, writer_body(SENDER.address, Address(KEEPER.address), 4, 0)
    yield "a batch of committed records, at the last index", EntryKind.COMMIT, batch_body(2**32 - 1, 2**53 - 1, 1, last)


def packed_vectors() -> dict[str, Any]:
    """The records of a batch in one byte string, and byte strings that are the records of none."""
    sealed = [sealed_at(record, index) for index, record in enumerate(RECORDS.values(), start=40)]
    packed = pack_records([(one.fields_root, one.sealed) for one in sealed])
    one = pack_records([(sealed[0].fields_root, sealed[0].sealed)])
    after = 3 + 32
    faults = [
        ("nothing", b""),
        ("cut short", one[:-1]),
        ("a byte after the last record", one + b"\x00"),
        ("a length that is one too small", (len(sealed[0].sealed) - 26).to_bytes(3, "big") + one[3:]),
        ("a length that is one too large", (len(sealed[0].sealed) - 24).to_bytes(3, "big") + one[3:]),
        ("a ciphertext of 16 bytes", b"\x00\x00\x10" + one[3 : after + 25 + 16]),
        ("a ciphertext longer than any", (122_897).to_bytes(3, "big") + one[3 : after + 25] + bytes(122_897)),
        ("a header of another format", one[:after] + b"\x10" + one[after + 1 :]),
        ("admission number zero", one[: after + 1] + bytes(8) + one[after + 9 :]),
        ("an admission number beyond 53 bits", one[: after + 1] + (2**53).to_bytes(8, "big") + one[after + 9 :]),
        ("more records than a batch holds", _smallest() * 1025),
    ]
    return {
        "valid": [
            {
                "name": "five records",
                "packed": packed.hex(),
                "records": [
                    {
                        "fields_root": record.fields_root.hex(),
                        "sealed": record.sealed.hex(),
                        "index": record.index,
                        "leaf": record.leaf.hex(),
                    }
                    for record in sealed
                ],
                "root": tree_root([record.leaf for record in sealed]).hex(),
            }
        ],
        "invalid": [{"fault": fault, "packed": data.hex(), "error": "PackingError"} for fault, data in faults],
    }


def _smallest() -> bytes:
    sealed = b"\x20" + (1).to_bytes(8, "big") + bytes(16) + bytes(17)
    return pack_records([(FieldsRoot(bytes(32)), sealed)])
