"""Keys: the wallet that signs, the auditor's key pair that reads, the epoch key between them, and the files they lie in.

A key file is one line of text, `<kind>:<value>`, created with mode 0600 and never overwritten. No `repr` shows a secret.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from hashlib import shake_256
from pathlib import Path
from typing import Final

import coincurve
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from tallystick.errors import KeyFileError, KeyFormatError, OpenError, SignatureError
from tallystick.hashing import keccak256
from tallystick.ids import HASH_BYTES, MAX_EPOCH, Address, LogId, checksum_address

SECRET_BYTES: Final = 32
SIGNATURE_BYTES: Final = 65
KEY_ID_BYTES: Final = 8
MLKEM_SEED_BYTES: Final = 64
MLKEM_PUBLIC_BYTES: Final = 1184
X25519_BYTES: Final = 32
WRAP_BYTES: Final = KEY_ID_BYTES + 1088 + X25519_BYTES + SECRET_BYTES + 16
MAX_KEY_FILE_BYTES: Final = 8192

WALLET_KIND: Final = "tallystick-wallet-v2"
AUDITOR_KEY_KIND: Final = "tallystick-auditor-key-v2"
AUDITOR_PUBLIC_KIND: Final = "tallystick-auditor-pub-v2"

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALF_ORDER = _ORDER // 2
_NONCE_INFO = b"tallystick/v2/nonce"
_EPOCH_INFO = b"tallystick/v2/epoch"
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Wallet:
    """A secp256k1 key that signs digests, and its address."""

    __slots__ = ("_key", "address")

    def __init__(self, private_key: bytes) -> None:
        """Requires: 32 bytes, from 1 to the group's order less 1. Raises: KeyFormatError."""
        if len(private_key) != SECRET_BYTES or not 0 < int.from_bytes(private_key, "big") < _ORDER:
            raise KeyFormatError("private key", "is not 32 bytes from 1 to the order of secp256k1 less 1")
        self._key = coincurve.PrivateKey(private_key)
        self.address: Final = _address_of(self._key.public_key)

    def __repr__(self) -> str:
        return f"Wallet({checksum_address(self.address)})"

    @classmethod
    def generate(cls) -> Wallet:
        """A new random wallet."""
        return cls(coincurve.PrivateKey().secret)

    @classmethod
    def from_text(cls, text: str) -> Wallet:
        """Read the line of a wallet file.

        Raises: KeyFormatError with what is wrong, never with the key.
        """
        digits = _value_of(text, WALLET_KIND)
        if len(digits) != 2 * SECRET_BYTES or not set(digits) <= set("0123456789abcdef"):
            raise KeyFormatError(WALLET_KIND, f"is not followed by {2 * SECRET_BYTES} lower-case hex digits")
        return cls(bytes.fromhex(digits))

    def to_text(self) -> str:
        """The line of a wallet file; it holds the secret."""
        return f"{WALLET_KIND}:{self.secret.hex()}"

    @property
    def secret(self) -> bytes:
        """The private key, 32 bytes."""
        secret: bytes = self._key.secret
        return secret

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes: r, s (low) and v (27 or 28), deterministic.

        Source: RFC 6979; EIP-2.
        """
        signature: bytes = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((signature[64] + 27,))


def recover(digest: bytes, signature: bytes) -> Address:
    """The address whose key made this signature of this digest.

    Raises: SignatureError unless it has 65 bytes, v 27 or 28, and s in the lower half: each digest has one form of a signature.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    if signature[64] not in (27, 28):
        raise SignatureError(f"v is {signature[64]}, not 27 or 28")
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise SignatureError("s is in the upper half of the order")
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes((signature[64] - 27,)), digest, hasher=None
        )
    except ValueError as error:
        raise SignatureError("no key makes this signature") from error
    return _address_of(key)


@dataclass(frozen=True, slots=True)
class AuditorPublicKey:
    """What a sealer needs to let an auditor in: an ML-KEM-768 and an X25519 public key (X-Wing)."""

    mlkem: bytes
    x25519: bytes

    def __post_init__(self) -> None:
        if len(self.mlkem) != MLKEM_PUBLIC_BYTES or len(self.x25519) != X25519_BYTES:
            raise KeyFormatError("auditor's public key", f"has not {MLKEM_PUBLIC_BYTES} and {X25519_BYTES} bytes")
        try:
            MLKEM768PublicKey.from_public_bytes(self.mlkem)
        except ValueError as error:
            raise KeyFormatError("auditor's public key", "is not one of ML-KEM-768") from error

    @property
    def key_id(self) -> bytes:
        """The first bytes of its hash; they say which wrap is whose."""
        return keccak256(self.mlkem + self.x25519)[:KEY_ID_BYTES]

    def to_text(self) -> str:
        """The line of a public key file."""
        return f"{AUDITOR_PUBLIC_KIND}:{base64.b64encode(self.mlkem + self.x25519).decode()}"

    @classmethod
    def from_text(cls, text: str) -> AuditorPublicKey:
        """Read the line of a public key file. Raises: KeyFormatError."""
        data = _decode(text, AUDITOR_PUBLIC_KIND)
        return cls(data[:MLKEM_PUBLIC_BYTES], data[MLKEM_PUBLIC_BYTES:])


@dataclass(frozen=True, slots=True)
class AuditorKey:
    """An auditor's key pair, kept as X-Wing's seed. Source: draft-connolly-cfrg-xwing-kem 5.2."""

    seed: bytes = field(repr=False)
    public: AuditorPublicKey = field(init=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SECRET_BYTES:
            raise KeyFormatError("auditor's key", f"has not {SECRET_BYTES} bytes")
        private_mlkem, private_x25519 = self.private_keys()
        mlkem = private_mlkem.public_key().public_bytes_raw()
        x25519 = private_x25519.public_key().public_bytes_raw()
        object.__setattr__(self, "public", AuditorPublicKey(mlkem, x25519))

    @property
    def key_id(self) -> bytes:
        """The key id of the public half."""
        return self.public.key_id

    def private_keys(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        """The two private keys that follow from the seed."""
        expanded = shake_256(self.seed).digest(MLKEM_SEED_BYTES + X25519_BYTES)
        return (
            MLKEM768PrivateKey.from_seed_bytes(expanded[:MLKEM_SEED_BYTES]),
            X25519PrivateKey.from_private_bytes(expanded[MLKEM_SEED_BYTES:]),
        )

    @classmethod
    def generate(cls) -> AuditorKey:
        """A new random key pair."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    def to_text(self) -> str:
        """The line of a key file; it holds the secret."""
        return f"{AUDITOR_KEY_KIND}:{base64.b64encode(self.seed).decode()}"

    @classmethod
    def from_text(cls, text: str) -> AuditorKey:
        """Read the line of a key file. Raises: KeyFormatError with what is wrong, never with the key."""
        return cls(_decode(text, AUDITOR_KEY_KIND))


@dataclass(frozen=True, slots=True)
class EpochKey:
    """The key of one log and epoch, from which every record secret of that epoch follows."""

    log_id: LogId
    epoch: int
    secret: bytes = field(repr=False)
    extracted: bytes = field(init=False, repr=False, compare=False)
    """The first half of HKDF, the same for every record of the epoch."""
    nonce_key: bytes = field(init=False, repr=False, compare=False)
    """The key under which record nonces are derived; a reader never needs it."""

    def __post_init__(self) -> None:
        if len(self.log_id) != HASH_BYTES or len(self.secret) != SECRET_BYTES or not 1 <= self.epoch <= MAX_EPOCH:
            raise KeyFormatError(
                "epoch key", "has a log id and a secret of 32 bytes each and an epoch from 1 to 2^32 - 1"
            )
        object.__setattr__(self, "extracted", hkdf_extract(self.secret, self.log_id))
        object.__setattr__(self, "nonce_key", hkdf_expand(self.extracted, _NONCE_INFO))

    @classmethod
    def generate(cls, log_id: LogId, epoch: int) -> EpochKey:
        """A new random epoch key."""
        return cls(log_id, epoch, secrets.token_bytes(SECRET_BYTES))


def wrap_epoch_key(epoch_key: EpochKey, auditor: AuditorPublicKey) -> bytes:
    """Encrypt an epoch key to one auditor: key id, encapsulation, ciphertext.

    Source: SPEC 2; RFC 9180.
    """
    public = MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(auditor.mlkem), X25519PublicKey.from_public_bytes(auditor.x25519)
    )
    sealed: bytes = _SUITE.encrypt(epoch_key.secret, public, _epoch_info(epoch_key.log_id, epoch_key.epoch))
    return auditor.key_id + sealed


def unwrap_epoch_key(wrap: bytes, auditor: AuditorKey, log_id: LogId, epoch: int) -> EpochKey:
    """Open an epoch key that was wrapped to this auditor.

    Raises: OpenError if the wrap is another auditor's, another log's or epoch's, or damaged.
    """
    if len(wrap) != WRAP_BYTES:
        raise OpenError(f"an epoch wrap has {WRAP_BYTES} bytes, not {len(wrap)}")
    if not hmac.compare_digest(wrap[:KEY_ID_BYTES], auditor.key_id):
        raise OpenError(f"the wrap is for key {wrap[:KEY_ID_BYTES].hex()}, this key is {auditor.key_id.hex()}")
    private = MLKEM768X25519PrivateKey(*auditor.private_keys())
    try:
        secret: bytes = _SUITE.decrypt(wrap[KEY_ID_BYTES:], private, _epoch_info(log_id, epoch))
    except InvalidTag as error:
        raise OpenError(f"the wrap of epoch {epoch} does not open with this key") from error
    return EpochKey(log_id, epoch, secret)


def hkdf_extract(ikm: bytes, salt: bytes) -> bytes:
    """HKDF-Extract with SHA-256. Source: RFC 5869 2.2."""
    return hmac.digest(salt, ikm, "sha256")


def hkdf_expand(key: bytes, info: bytes) -> bytes:
    """HKDF-Expand to 32 bytes from a key that is uniform already. Source: RFC 5869 2.3 and 3.3."""
    return hmac.digest(key, info + b"\x01", "sha256")


def write_secret_file(path: Path, text: str) -> None:
    """Create a file of mode 0600 with one line of text, durable on return.

    A crash leaves either no file or the whole file: it is written beside its place and linked into it.
    Raises: KeyFileError if something is at `path` already, or it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o600)  # whatever the umask is
                file.write(text.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)  # unlike a rename, refuses to replace
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise KeyFileError(str(path), "exists already; it is never overwritten") from error
    except OSError as error:
        raise KeyFileError(str(path), error.strerror or str(error)) from error


def read_secret_file(path: Path) -> str:
    """Read the line of a file that only its owner can read.

    Raises: KeyFileError, saying what to do.
    """
    try:
        # A link is followed, since secret stores mount their files so; what is read and checked is the file behind it, once opened.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(str(path), "is not a regular file")
            data = file.read(MAX_KEY_FILE_BYTES + 1)
            if data.startswith(AUDITOR_PUBLIC_KIND.encode()):
                raise KeyFileError(str(path), "is an auditor's public key, and a private one is needed here")
            if status.st_mode & 0o077:
                mode = stat.S_IMODE(status.st_mode)
                raise KeyFileError(str(path), f"has mode {mode:04o}: others may read it. Run: chmod 600 {path}")
    except OSError as error:
        raise KeyFileError(str(path), error.strerror or str(error)) from error
    return _one_line(path, data)


def read_public_file(path: Path) -> str:
    """Read the line of a file that anybody may read.

    Raises: KeyFileError.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(str(path), error.strerror or str(error)) from error
    return _one_line(path, data)


def _one_line(path: Path, data: bytes) -> str:
    if len(data) > MAX_KEY_FILE_BYTES:
        raise KeyFileError(str(path), f"is longer than {MAX_KEY_FILE_BYTES} bytes: not a key file")
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise KeyFileError(str(path), "is not a key file") from error
    if not text or "\n" in text:
        raise KeyFileError(str(path), "is not one line")
    return text


def _value_of(text: str, kind: str) -> str:
    found, separator, value = text.strip().partition(":")
    if found != kind or not separator:
        raise KeyFormatError(kind, "the line is of another kind")
    return value


def _decode(text: str, kind: str) -> bytes:
    value = _value_of(text, kind)
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError as error:
        raise KeyFormatError(kind, "is not followed by base64") from error
    if base64.b64encode(data).decode() != value:
        raise KeyFormatError(kind, "is not followed by canonical base64")
    return data


def sync_folder(folder: Path) -> None:
    """Make durable what a folder names. Raises: OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _epoch_info(log_id: LogId, epoch: int) -> bytes:
    return _EPOCH_INFO + log_id + epoch.to_bytes(4, "big")


def _address_of(key: coincurve.PublicKey) -> Address:
    return Address(keccak256(key.format(compressed=False)[1:])[12:])
