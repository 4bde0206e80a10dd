"""Commitments, sealed records and blobs (sections 3, 4 and 8)."""

import base64
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import zstandard

from tests.support.stranger import cbor
from tests.support.stranger.crypto import hkdf_expand, keccak, open_aead, shake
from tests.support.stranger.errors import COMMITMENTS, DISCLOSURE, OPEN, RECORD, Refused
from tests.support.stranger.record import (
    LARGE,
    MAX_BLOB,
    MAX_NUMBER,
    MAX_RECORD,
    ORDER,
    decode_blob_value,
    decode_field,
    decode_record,
    fields_of,
    is_blob,
)

SPEC = Path(__file__).parents[3] / "ledger" / "SPEC.md"
DICTIONARY_DIGEST = "98048ab14bb580de8d49f25c67f6fb871d0363ffb5392642909c60be2975c271"
MAX_PADDED = 122_880
HEADER = 25
CHAIN_CUSTODY = 0x20
VAULT_CUSTODY = 0x21


@cache
def dictionary() -> bytes:
    """The compression dictionary, out of the page's appendix."""
    text = SPEC.read_text().split("## Appendix", 1)[1].split("In padded base64:", 1)[1]
    raw = base64.b64decode("".join(re.findall(r"^    (\S+)$", text, re.MULTILINE)), validate=True)
    assert keccak(raw).hex() == DICTIONARY_DIGEST
    return raw


def padme(size: int) -> int:
    """The padded length of a length."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    step = 1 << exponent - exponent.bit_length()
    return -(-size // step) * step


def salts(secret: bytes) -> list[bytes]:
    """The twenty-two salts of a record."""
    stream = shake(secret + b"tallystick/v2/fields", 32 * len(ORDER))
    return [stream[at : at + 32] for at in range(0, len(stream), 32)]


def commitment(salt: bytes, field: bytes) -> bytes:
    """The commitment to one field."""
    return keccak(b"\x05", salt, field)


def root_of(commitments: list[bytes]) -> bytes:
    """The fields root over commitments."""
    return keccak(b"\x06", *commitments)


def fields_root(record: dict[str, Any], secret: bytes) -> bytes:
    """The fields root of a record under its secret."""
    return root_of([commitment(salt, field) for salt, field in zip(salts(secret), fields_of(record), strict=True)])


def read_disclosure(root: bytes, commitments: list[bytes], fields: Mapping[str, tuple[bytes, bytes]]) -> dict[str, Any]:
    """The values of disclosed fields, each given as its bytes and its salt."""
    if len(commitments) != len(ORDER) or not fields or root_of(commitments) != root:
        raise Refused(DISCLOSURE, "the commitments do not lead to the fields root")
    values = {}
    for name, (field, salt) in fields.items():
        if name not in ORDER or commitment(salt, field) != commitments[ORDER.index(name)]:
            raise Refused(DISCLOSURE, f"{name} is not the field that was committed to")
        try:
            values[name] = decode_field(name, field)
        except Refused as error:
            raise Refused(DISCLOSURE, error.text) from None
    return values


def header_of(sealed: bytes) -> tuple[int, int, bytes]:
    """Flags, admission number and nonce of a sealed record."""
    if not HEADER + 17 <= len(sealed) <= HEADER + 122_896:
        raise Refused(OPEN, "no sealed record has this length")
    flags, number = sealed[0], int.from_bytes(sealed[1:9], "big")
    if flags not in (CHAIN_CUSTODY, VAULT_CUSTODY):
        raise Refused(OPEN, "flags that the format has not")
    if not 1 <= number <= MAX_NUMBER:
        raise Refused(OPEN, "an admission number beyond its bounds")
    return flags, number, sealed[9:HEADER]


def _unpad(padded: bytes) -> bytes:
    body = padded.rstrip(b"\0")
    if len(padded) > MAX_PADDED or not body.endswith(b"\x80") or padme(len(body)) != len(padded):
        raise Refused(OPEN, "not the padding that it must have")
    return body[:-1]


def decompress(frame: bytes, limit: int) -> bytes:
    """What one zstd frame holds; it names its size, and has neither dictionary id nor checksum."""
    try:
        parameters = zstandard.get_frame_parameters(frame)
    except zstandard.ZstdError:
        raise Refused(OPEN, "not a zstd frame") from None
    size = parameters.content_size
    if frame[:4] != b"\x28\xb5\x2f\xfd" or not 1 <= size <= limit or parameters.has_checksum or parameters.dict_id:
        raise Refused(OPEN, "not a zstd frame of the one form")
    if frame[4] & 3:
        raise Refused(OPEN, "a zstd frame with a dictionary id")
    engine = zstandard.ZstdDecompressor(
        dict_data=zstandard.ZstdCompressionDict(dictionary(), dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    ).decompressobj(write_size=min(size, 1 << 17))
    try:
        content = engine.decompress(frame)
    except zstandard.ZstdError:
        raise Refused(OPEN, "a zstd frame that does not decompress") from None
    if not engine.eof or engine.unused_data or len(content) != size:
        raise Refused(OPEN, "not one whole zstd frame with nothing after it")
    return content


def open_sealed(
    secret: bytes, log_id: bytes, index: int, epoch: int, root: bytes, sealed: bytes
) -> tuple[dict[str, Any], bytes]:
    """The record inside a sealed one, and its bytes."""
    _, number, _ = header_of(sealed)
    header = sealed[:HEADER]
    key = hkdf_expand(secret, b"tallystick/v2/dek" + header + root)
    aad = header + log_id + index.to_bytes(8, "big") + epoch.to_bytes(4, "big")
    data = decompress(_unpad(open_aead(key, sealed[HEADER:], aad)), MAX_RECORD)
    record = decode_record(data)
    if record["admission_seq"] != number:
        raise Refused(RECORD, "admission_seq is not the header's", "admission_seq")
    if fields_root(record, secret) != root:
        raise Refused(COMMITMENTS, "the fields do not lead to the fields root")
    return record, data


def open_blob(secret: bytes, reference: dict[str, Any], blob: bytes) -> bytes:
    """The value that a blob holds."""
    if keccak(blob) != reference["sealed_digest"]:
        raise Refused(OPEN, "another blob than the record names")
    digest = reference["digest"]
    frame = open_aead(hkdf_expand(secret, b"tallystick/v2/blob" + digest), blob, digest)
    value = decompress(frame, MAX_BLOB)
    if len(value) != reference["length"] or keccak(value) != digest:
        raise Refused(OPEN, "another value than the record names")
    return value


def whole_record(
    record: dict[str, Any], secret: bytes, blobs: Mapping[bytes, bytes]
) -> tuple[dict[str, Any], list[str]]:
    """The record with its blobs' values in place, and the names of the fields whose blob nobody shows."""
    whole, missing = dict(record), []
    for name in LARGE:
        if not is_blob(record[name]):
            continue
        reference = record[name]["blob"]
        if reference["sealed_digest"] in blobs:
            whole[name] = decode_blob_value(name, open_blob(secret, reference, blobs[reference["sealed_digest"]]))
        else:
            missing.append(name)
    return whole, missing


def request_digest(method: str, target: str, content_type: str | None, body: bytes) -> bytes:
    """What a request was, without its salt."""
    texts = (method.encode(), target.encode(), (content_type or "").encode(), body)
    return keccak(*(keccak(part) for part in texts))


def request_hash(record: dict[str, Any]) -> bytes:
    """Section 7's hash of the request of a whole record."""
    request = record["request"]
    if request is None:
        return bytes(32)
    digest = request_digest(record["http"]["method"], request["target"], request["content_type"], request["body"])
    return keccak(b"\x02", request["salt"], digest)


def response_hash(record: dict[str, Any], secret: bytes) -> bytes:
    """Section 7's hash of the response of a whole record."""
    outputs = record["response"]["outputs"] if record["response"] is not None else []
    return hash_response(salts(secret)[ORDER.index("response")], record["error"], outputs)


def hash_response(salt: bytes, error: Any, outputs: list[Any]) -> bytes:
    """The hash of an error and outputs under a salt."""
    return keccak(b"\x03", salt, keccak(cbor.encode({"error": error, "outputs": outputs})))
