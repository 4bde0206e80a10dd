"""Opening an epoch wrap by the words of RFC 9180 and of X-Wing, with nothing but the two key agreements: the oracle of the library's HPKE.

Base mode, KEM 0x647a (X-Wing), KDF 0x0001 (HKDF-SHA256), AEAD 0x0002 (AES-256-GCM).
Source: RFC 9180 4 and 5.1; draft-connolly-cfrg-xwing-kem 5.3 to 5.5.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

XWING_LABEL = rb"\.//^" + b"\\"
SUITE_ID = b"HPKE" + bytes.fromhex("647a" + "0001" + "0002")
MLKEM_CIPHERTEXT_BYTES = 1088
ENCAPSULATION_BYTES = MLKEM_CIPHERTEXT_BYTES + 32


def open_hpke(sealed: bytes, seed: bytes, info: bytes) -> bytes:
    shared = decapsulate(sealed[:ENCAPSULATION_BYTES], seed)
    context = b"\x00" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", info)
    secret = _extract(shared, b"secret", b"")
    key, nonce = _expand(secret, b"key", context, 32), _expand(secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, sealed[ENCAPSULATION_BYTES:], b"")


def decapsulate(encapsulation: bytes, seed: bytes) -> bytes:
    """X-Wing's Decapsulate, from the private key in the form of its seed."""
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem_seed, x25519_secret = expanded[:64], expanded[64:]
    mlkem_part, x25519_part = encapsulation[:MLKEM_CIPHERTEXT_BYTES], encapsulation[MLKEM_CIPHERTEXT_BYTES:]
    x25519 = X25519PrivateKey.from_private_bytes(x25519_secret)
    post_quantum = MLKEM768PrivateKey.from_seed_bytes(mlkem_seed).decapsulate(mlkem_part)
    classical = x25519.exchange(X25519PublicKey.from_public_bytes(x25519_part))
    public = x25519.public_key().public_bytes_raw()
    return hashlib.sha3_256(post_quantum + classical + x25519_part + public + XWING_LABEL).digest()


def _extract(salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + SUITE_ID + label + material, "sha256")


def _expand(key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    labelled = size.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + info
    return hmac.digest(key, labelled + b"\x01", "sha256")[:size]
