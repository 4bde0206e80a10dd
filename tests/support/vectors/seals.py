"""Vectors of sealed records, blobs, disclosures and epoch wraps (SPEC 2, 3, 4 and 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick.compression import DICTIONARY_V1, compress
from tallystick.encoding import encode_record, encode_value
from tallystick.hashing import keccak256
from tallystick.ids import FieldsRoot
from tallystick.keys import hkdf_expand
from tallystick.record import MAX_RECORD_BYTES, BlobRef, Response
from tallystick.sealing import disclose, open_sealed, pad, record_secret, seal
from tests.support.vectors.cast import AUDITOR, EPOCH_KEY, LOG_ID, bare_record, flipped, whole_record

# HPKE draws randomness, so this wrap of EPOCH_KEY was made once; what is tested is that it opens.
FROZEN_WRAP = Path(__file__).parents[2] / "vectors" / "v1" / "wrap.hex"
RECORDS = {"every field set": whole_record(), "every optional field null": bare_record()}


def sealing_vectors() -> dict[str, Any]:
    """Sealed records with the secrets that open them, and one fault each."""
    valid = list(_valid())
    good = valid[0]
    part = {key: good[key] for key in ("log_id", "index", "secret", "fields_root", "sealed")}
    faults = [*_faults_outside(good), *_faults_inside(good)]
    return {
        "dictionary": DICTIONARY_V1.hex(),
        "compressed": compress(encode_record(whole_record())).hex(),
        "valid": valid,
        "invalid": [{"fault": fault, **part, **changes, "error": error} for fault, changes, error in faults],
        "wrap": _wrap_vector(),
        "disclosure": _disclosure_vector(),
        "blob": _blob_vector(),
    }


def _valid() -> Iterator[dict[str, Any]]:
    for index, (name, record) in enumerate(RECORDS.items(), start=40):
        for custody, nonce in (("chain", b""), ("vault", keccak256(b"custody"))):
            sealed = seal(record, epoch_key=EPOCH_KEY, index=index, custody_nonce=nonce)
            yield {
                "name": f"{name}, {custody} custody",
                "log_id": LOG_ID.hex(),
                "index": index,
                "epoch": 3,
                "epoch_key": EPOCH_KEY.secret.hex(),
                "custody_nonce": nonce.hex(),
                "secret": sealed.secret.hex(),
                "fields_root": sealed.fields_root.hex(),
                "leaf": sealed.leaf.hex(),
                "sealed": sealed.sealed.hex(),
                "record": encode_record(record).hex(),
            }


def _faults_outside(good: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    raw = bytes.fromhex(good["sealed"])
    error = "OpenError"
    yield "version 2", {"sealed": (b"\x02" + raw[1:]).hex()}, error
    yield "unknown flags", {"sealed": (raw[:1] + b"\x02" + raw[2:]).hex()}, error
    yield "another custody flag", {"sealed": (raw[:1] + b"\x01" + raw[2:]).hex()}, error
    yield "epoch zero", {"sealed": (raw[:2] + bytes(4) + raw[6:]).hex()}, error
    yield "another epoch in the header", {"sealed": (raw[:5] + b"\x04" + raw[6:]).hex()}, error
    yield "one bit of the ciphertext", {"sealed": flipped(raw, 20).hex()}, error
    yield "one bit of the tag", {"sealed": flipped(raw, len(raw) - 1).hex()}, error
    yield "cut short", {"sealed": raw[:-1].hex()}, error
    yield "one byte too many", {"sealed": (raw + b"\x00").hex()}, error
    yield "nothing but a header", {"sealed": raw[:6].hex()}, error
    yield "another index", {"index": good["index"] + 1}, error
    yield "another log", {"log_id": keccak256(b"another log").hex()}, error
    yield "another fields root", {"fields_root": flipped(bytes.fromhex(good["fields_root"]), 0).hex()}, error
    yield "another secret", {"secret": record_secret(EPOCH_KEY, good["index"] + 1).hex()}, error


def _faults_inside(good: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    record = bytes.fromhex(good["record"])
    frame = compress(record)
    error = "OpenError"
    yield "no padding mark", {"sealed": _sealed_of(good, frame.ljust(len(pad(frame)), b"\x00"))}, error
    yield "nothing but zeros", {"sealed": _sealed_of(good, bytes(64))}, error
    yield "padding longer than it must be", {"sealed": _sealed_of(good, pad(frame) + bytes(32))}, error
    yield "padding shorter than it must be", {"sealed": _sealed_of(good, frame + b"\x80")}, error
    yield "not a zstd frame", {"sealed": _sealed_of(good, pad(b"not a frame at all"))}, error
    yield (
        "a zstd frame that names no size",
        {"sealed": _sealed_of(good, pad(_frame(record, content_size=False)))},
        error,
    )
    yield "a zstd frame with a checksum", {"sealed": _sealed_of(good, pad(_frame(record, checksum=True)))}, error
    yield "two zstd frames", {"sealed": _sealed_of(good, pad(frame + frame))}, error
    yield "a zstd frame cut short", {"sealed": _sealed_of(good, pad(frame[:-3]))}, error
    yield (
        "a zstd frame larger than any record",
        {"sealed": _sealed_of(good, pad(compress(bytes(MAX_RECORD_BYTES + 1))))},
        error,
    )
    yield "a zstd frame of nothing", {"sealed": _sealed_of(good, pad(compress(b"")))}, error
    yield "a record in another encoding", {"sealed": _sealed_of(good, pad(compress(record + b"\x00")))}, "EncodingError"
    yield (
        "a record of another version",
        {"sealed": _sealed_of(good, pad(compress(b"\xb4av\x02" + record[4:])))},
        "RecordError",
    )
    other = seal(RECORDS["every optional field null"], epoch_key=EPOCH_KEY, index=good["index"])
    yield (
        "the fields root of another record",
        {
            "fields_root": other.fields_root.hex(),
            "sealed": _sealed_of({**good, "fields_root": other.fields_root.hex()}, pad(frame)),
        },
        "commitments",
    )


def _sealed_of(good: dict[str, Any], padded: bytes) -> str:
    """Encrypt any plaintext as the record's sealer would: faults behind the encryption are the writer's own."""
    fields_root, secret = bytes.fromhex(good["fields_root"]), bytes.fromhex(good["secret"])
    header = bytes.fromhex(good["sealed"])[:6]
    key = hkdf_expand(secret, b"tallystick/v1/dek" + fields_root)
    associated = header + LOG_ID + good["index"].to_bytes(8, "big")
    return (header + AESGCM(key).encrypt(bytes(12), padded, associated)).hex()


def _frame(data: bytes, *, content_size: bool = True, checksum: bool = False) -> bytes:
    dictionary = zstandard.ZstdCompressionDict(DICTIONARY_V1, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    compressor = zstandard.ZstdCompressor(
        dict_data=dictionary, write_content_size=content_size, write_checksum=checksum, write_dict_id=False
    )
    return compressor.compress(data)


def _wrap_vector() -> dict[str, Any]:
    wrap = bytes.fromhex(FROZEN_WRAP.read_text().strip())
    faults = [
        ("another key id", flipped(wrap, 0)),
        ("one bit of the ML-KEM ciphertext", flipped(wrap, 100)),
        ("one bit of the X25519 share", flipped(wrap, 8 + 1088)),
        ("one bit of the encrypted key", flipped(wrap, 8 + 1120)),
        ("cut short", wrap[:-1]),
    ]
    return {
        "auditor_key": AUDITOR.to_text(),
        "auditor_public": AUDITOR.public.to_text(),
        "key_id": AUDITOR.key_id.hex(),
        "log_id": LOG_ID.hex(),
        "epoch": 3,
        "wrap": wrap.hex(),
        "epoch_key": EPOCH_KEY.secret.hex(),
        "invalid": [{"fault": fault, "wrap": data.hex(), "error": "OpenError"} for fault, data in faults],
    }


def _disclosure_vector() -> dict[str, Any]:
    sealed = seal(whole_record(), epoch_key=EPOCH_KEY, index=40)
    opened = open_sealed(sealed.sealed, log_id=LOG_ID, index=40, fields_root=sealed.fields_root, secret=sealed.secret)
    shown = disclose(opened, ["model", "price"])
    fields: dict[str, dict[str, Any]] = {
        name: {"field": f.field_bytes.hex(), "salt": f.salt.hex()} for name, f in shown.fields.items()
    }
    commitments = [one.hex() for one in shown.commitments]
    price = fields["price"]
    dearer = bytes.fromhex(price["field"]).replace(b"mcharge_micros\x19\x03k", b"mcharge_micros\x19\x03l")
    faults: list[tuple[str, dict[str, Any]]] = [
        ("a charge changed", {"fields": {"price": {**price, "field": dearer.hex()}}}),
        ("another salt", {"fields": {"price": {**price, "salt": fields["model"]["salt"]}}}),
        ("a commitment changed", {"commitments": [*commitments[:-1], bytes(32).hex()]}),
        ("a commitment left out", {"commitments": commitments[:-1]}),
        ("two commitments in each other's place", {"commitments": [*commitments[:-2], *commitments[:-3:-1]]}),
        ("a field under another's name", {"fields": {"gpu": price}}),
        ("a name that no record has", {"fields": {"colour": price}}),
        (
            "a field that is not canonical",
            {"fields": {"price": {**price, "field": (bytes.fromhex(price["field"]) + b"\x00").hex()}}},
        ),
    ]
    good = {"fields": fields, "commitments": commitments}
    return {
        "fields_root": sealed.fields_root.hex(),
        **good,
        "invalid": [{"fault": fault, **good, **changes, "error": "DisclosureError"} for fault, changes in faults],
    }


def _blob_vector() -> dict[str, Any]:
    text = "one line of a long answer, " * 1200
    answer = whole_record().response
    assert isinstance(answer, Response)
    record = replace(whole_record(), response=Response(choices=(replace(answer.choices[0], text=text),)))
    sealed = seal(record, epoch_key=EPOCH_KEY, index=44)
    (blob,) = sealed.blobs
    ref = _ref_vector(blob.ref)
    ciphertext, other = blob.ciphertext, encode_value({"choices": []})
    faults: list[tuple[str, dict[str, Any]]] = [
        ("one bit of the blob", {"ciphertext": flipped(ciphertext, 9).hex()}),
        ("another record's secret", {"secret": record_secret(EPOCH_KEY, 45).hex()}),
        ("another digest", {"ref": {**ref, "digest": keccak256(other).hex()}}),
        ("another length", {"ref": {**ref, "length": ref["length"] + 1}}),
        ("another digest of the blob", {"ref": {**ref, "sealed_digest": bytes(32).hex()}}),
    ]
    good = {"secret": sealed.secret.hex(), "ref": ref, "ciphertext": ciphertext.hex()}
    return {
        **good,
        "value": encode_value({"choices": [{"text": text, "index": 0, "finish_reason": "stop"}]}).hex(),
        "fields_root": sealed.fields_root.hex(),
        "invalid": [{"fault": fault, **good, **changes, "error": "OpenError"} for fault, changes in faults],
    }


def _ref_vector(ref: BlobRef) -> dict[str, Any]:
    return {"digest": ref.digest.hex(), "length": ref.length, "sealed_digest": ref.sealed_digest.hex()}


def fields_root_of(case: dict[str, Any]) -> FieldsRoot:
    """The fields root that a vector names."""
    return FieldsRoot(bytes.fromhex(case["fields_root"]))
