"""The primitives that the specification names, put together from those of libraries."""

import hmac
from hashlib import sha3_256, sha256, shake_256

from Crypto.Hash import keccak as _keccak
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from eth_keys.backends.native.ecdsa import ecdsa_raw_recover

from tests.support.stranger.errors import OPEN, SIGNATURE, Refused

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ZERO_NONCE = bytes(12)


def keccak(*parts: bytes) -> bytes:
    """Ethereum's keccak256 over the parts, one after another."""
    state = _keccak.new(digest_bits=256)
    for part in parts:
        state.update(part)
    return state.digest()


def shake(data: bytes, size: int) -> bytes:
    """SHAKE256."""
    return shake_256(data).digest(size)


def hkdf_extract(salt: bytes, ikm: bytes) -> bytes:
    """RFC 5869 2.2 with SHA-256."""
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def hkdf_expand(key: bytes, info: bytes, size: int = 32) -> bytes:
    """RFC 5869 2.3 with SHA-256."""
    out = block = b""
    count = 0
    while len(out) < size:
        count += 1
        block = hmac.digest(key, block + info + bytes([count]), "sha256")
        out += block
    return out[:size]


def open_aead(key: bytes, ciphertext: bytes, aad: bytes, nonce: bytes = ZERO_NONCE) -> bytes:
    """AES-256-GCM."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, aad)
    except (InvalidTag, ValueError):
        raise Refused(OPEN, "it does not decrypt") from None


class Auditor:
    """An auditor's key pair, from its seed: X-Wing in HPKE's base mode."""

    SUITE = b"HPKE" + (0x647A).to_bytes(2, "big") + (1).to_bytes(2, "big") + (2).to_bytes(2, "big")

    def __init__(self, seed: bytes) -> None:
        expanded = shake(seed, 96)
        self._ml_kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._x25519_public = self._x25519.public_key().public_bytes_raw()
        self.public_key = self._ml_kem.public_key().public_bytes_raw() + self._x25519_public
        self.key_id = keccak(self.public_key)[:8]

    def _decapsulate(self, enc: bytes) -> bytes:
        ml_kem_ciphertext, share = enc[:1088], enc[1088:]
        try:
            first = self._ml_kem.decapsulate(ml_kem_ciphertext)
            second = self._x25519.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            raise Refused(OPEN, "the encapsulated key has no secret") from None
        return sha3_256(first + second + share + self._x25519_public + rb"\.//^" + b"\\").digest()

    def _labeled(self, label: bytes) -> bytes:
        return b"HPKE-v1" + self.SUITE + label

    def _open(self, sealed: bytes, info: bytes) -> bytes:
        enc, ciphertext = sealed[:1120], sealed[1120:]
        shared = self._decapsulate(enc)
        context = (
            b"\0"
            + hkdf_extract(b"", self._labeled(b"psk_id_hash"))
            + hkdf_extract(b"", self._labeled(b"info_hash") + info)
        )
        secret = hkdf_extract(shared, self._labeled(b"secret"))
        key = hkdf_expand(secret, (32).to_bytes(2, "big") + self._labeled(b"key") + context, 32)
        nonce = hkdf_expand(secret, (12).to_bytes(2, "big") + self._labeled(b"base_nonce") + context, 12)
        return open_aead(key, ciphertext, b"", nonce)

    def unwrap(self, wrap: bytes, log_id: bytes, epoch: int) -> bytes:
        """The epoch's key from the wrap that names this auditor."""
        if len(wrap) != 1176 or wrap[:8] != self.key_id:
            raise Refused(OPEN, "not a wrap for this auditor")
        return self._open(wrap[8:], b"tallystick/v2/epoch" + log_id + epoch.to_bytes(4, "big"))


def record_secret(epoch_key: bytes, log_id: bytes, index: int, nonce: bytes, vault: bytes = b"") -> bytes:
    """S_i of section 2."""
    info = b"tallystick/v2/record" + index.to_bytes(8, "big") + nonce + vault
    return hkdf_expand(hkdf_extract(log_id, epoch_key), info)


def seal_nonce(epoch_key: bytes, log_id: bytes, index: int, fresh: bytes, record: bytes) -> bytes:
    """The nonce that a sealer derives, from the random bytes that it drew."""
    key = hkdf_expand(hkdf_extract(log_id, epoch_key), b"tallystick/v2/nonce")
    return hmac.new(key, fresh + index.to_bytes(8, "big") + record, sha256).digest()[:16]


def address_of(public_key: bytes) -> bytes:
    """The address of an uncompressed public key of 64 bytes."""
    return keccak(public_key)[12:]


def recover(digest: bytes, r: int, s: int, parity: int) -> bytes:
    """The address whose key signed the digest; only the low s is taken."""
    if not (0 < r < ORDER and 0 < s <= ORDER // 2 and parity in (0, 1)):
        raise Refused(SIGNATURE, "not the one form of a signature")
    try:
        public_key = ecdsa_raw_recover(digest, (parity, r, s))
    except Exception:
        raise Refused(SIGNATURE, "a signature that no key makes") from None
    return address_of(public_key)


def signer(digest: bytes, signature: bytes) -> bytes:
    """The address behind r || s || v."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise Refused(SIGNATURE, "not the one form of a signature")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return recover(digest, r, s, signature[64] - 27)


def checksummed(address: bytes) -> str:
    """EIP-55."""
    plain = address.hex()
    marks = keccak(plain.encode()).hex()
    return "0x" + "".join(c.upper() if int(m, 16) > 7 else c for c, m in zip(plain, marks, strict=False))
