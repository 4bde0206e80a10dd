"""Key files (section 2)."""

import base64
import binascii
import re

from tests.support.stranger.crypto import ORDER
from tests.support.stranger.errors import KEY, Refused

WALLET = "tallystick-wallet-v2"
AUDITOR_KEY = "tallystick-auditor-key-v2"
AUDITOR_PUBLIC = "tallystick-auditor-pub-v2"


def _base64(value: str) -> bytes:
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(KEY, "not base64") from None
    if base64.b64encode(raw).decode() != value:
        raise Refused(KEY, "not the one base64 of its bytes")
    return raw


def _ml_kem_public(raw: bytes) -> bool:
    """Whether every coefficient of an ML-KEM-768 public key is below the modulus (FIPS 203 7.2)."""
    return all(
        (raw[at] | (raw[at + 1] & 15) << 8) < 3329 and (raw[at + 1] >> 4 | raw[at + 2] << 4) < 3329
        for at in range(0, 1152, 3)
    )


def read_key(kind: str, line: str) -> bytes:
    """The key on the line of a file of this kind, with or without its line feed."""
    name, colon, value = line.removesuffix("\n").partition(":")
    if name != kind or not colon:
        raise Refused(KEY, "not a key of the kind asked for")
    if kind == WALLET:
        if not re.fullmatch("[0-9a-f]{64}", value) or not 0 < int(value, 16) < ORDER:
            raise Refused(KEY, "not a private key")
        return bytes.fromhex(value)
    raw = _base64(value)
    if len(raw) != {AUDITOR_KEY: 32, AUDITOR_PUBLIC: 1216}[kind]:
        raise Refused(KEY, "not the length of a key")
    if kind == AUDITOR_PUBLIC and not _ml_kem_public(raw):
        raise Refused(KEY, "not a public key of ML-KEM")
    return raw
