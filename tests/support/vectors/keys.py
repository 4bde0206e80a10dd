"""Vectors of key files and of an epoch wrap (SPEC 2)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tallystick.ids import to_hex
from tests.support.vectors.cast import AUDITOR, EPOCH_KEY, LOG_ID, SENDER, WRITER, flipped

# HPKE draws randomness, so this wrap of EPOCH_KEY was made once; what is tested is that it opens.
FROZEN_WRAP = Path(__file__).parents[2] / "vectors" / "v2" / "wrap.hex"


def key_vectors() -> dict[str, Any]:
    """Lines of key files with what they stand for, lines that are of no key, and a wrap with its faults."""
    return {
        "wallets": [
            {"line": wallet.to_text(), "private_key": wallet.secret.hex(), "address": to_hex(wallet.address)}
            for wallet in (WRITER, SENDER)
        ],
        "auditor": {
            "line": AUDITOR.to_text(),
            "public_line": AUDITOR.public.to_text(),
            "seed": AUDITOR.seed.hex(),
            "mlkem768_public": AUDITOR.public.mlkem.hex(),
            "x25519_public": AUDITOR.public.x25519.hex(),
            "key_id": AUDITOR.key_id.hex(),
        },
        "invalid": [
            {"fault": fault, "kind": kind, "line": line, "error": "KeyFormatError"} for fault, kind, line in _faults()
        ],
        "wrap": _wrap_vector(),
    }


def _faults() -> list[tuple[str, str, str]]:
    wallet, auditor, public = "tallystick-wallet-v2", "tallystick-auditor-key-v2", "tallystick-auditor-pub-v2"
    key = "11" * 32
    seed = base64.b64encode(AUDITOR.seed).decode()
    return [
        ("a key of version 1", wallet, f"tallystick-wallet-v1:{key}"),
        ("the line of another kind", wallet, AUDITOR.to_text()),
        ("no value", wallet, wallet),
        ("a private key of 31 bytes", wallet, f"{wallet}:{key[2:]}"),
        ("a private key of zero", wallet, f"{wallet}:{'00' * 32}"),
        ("a private key beyond the group", wallet, f"{wallet}:{'ff' * 32}"),
        ("digits in upper case", wallet, f"{wallet}:{'AB' * 32}"),
        ("a digit that is none", wallet, f"{wallet}:{key[:-1]}g"),
        ("a seed of 31 bytes", auditor, f"{auditor}:{base64.b64encode(bytes(31)).decode()}"),
        ("the expanded keys in place of the seed", auditor, f"{auditor}:{base64.b64encode(bytes(96)).decode()}"),
        ("no padding", auditor, f"{auditor}:{seed.rstrip('=')}"),
        ("a bit behind the last byte", auditor, f"{auditor}:{seed[:-2]}{_next_digit(seed[-2])}="),
        ("a public key of 1,215 bytes", public, f"{public}:{base64.b64encode(bytes(1215)).decode()}"),
        ("coefficients beyond ML-KEM's modulus", public, f"{public}:{base64.b64encode(bytes([255]) * 1216).decode()}"),
    ]


def _next_digit(digit: str) -> str:
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return digits[digits.index(digit) ^ 1]


def _wrap_vector() -> dict[str, Any]:
    wrap = bytes.fromhex(FROZEN_WRAP.read_text().strip())
    good = {"log_id": LOG_ID.hex(), "epoch": 3, "wrap": wrap.hex()}
    faults: list[tuple[str, dict[str, Any]]] = [
        ("another key id", {"wrap": flipped(wrap, 0).hex()}),
        ("one bit of the ML-KEM ciphertext", {"wrap": flipped(wrap, 100).hex()}),
        ("one bit of the X25519 share", {"wrap": flipped(wrap, 8 + 1088).hex()}),
        ("one bit of the encrypted key", {"wrap": flipped(wrap, 8 + 1120).hex()}),
        ("cut short", {"wrap": wrap[:-1].hex()}),
        ("another epoch", {"epoch": 4}),
        ("another log", {"log_id": flipped(LOG_ID, 31).hex()}),
    ]
    return {
        "auditor": AUDITOR.to_text(),
        **good,
        "epoch_key": EPOCH_KEY.secret.hex(),
        "invalid": [{"fault": fault, **good, **changes, "error": "OpenError"} for fault, changes in faults],
    }
