"""Signatures of model folders, as OpenSSF model signing makes them: who vouches for these files.

A signature is one file beside the model's, `model.sig`: a list of the files with their digests, signed with an elliptic-curve key.
The digest of a version does not cover it, so the registry keeps it apart, by its own digest, and each version has its own.

The policy says what happens to a model without a good signature: `required` refuses it, `warn` takes it and says so, `off` does
not look. A signature that is wrong under a key that we know is refused in either case but `off`: somebody changed those files.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from tallystick.manifest import SIGNATURE_NAME, Manifest
from tallystick_platform.errors import SettingsError
from tallystick_platform.formats.limits import MAX_SIGNATURE_BYTES
from tallystick_platform.registry.entries import ModelVersion, SignatureState
from tallystick_platform.registry.errors import SignatureRefused

CURVES = frozenset(("secp256r1", "secp384r1", "secp521r1"))
MAX_KEY_BYTES = 16_384
SIGNERS_SETTING = "TALLYSTICK_MODEL_SIGNERS"


class SignaturePolicy(StrEnum):
    """What happens to a model without a good signature."""

    REQUIRED = "required"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What was found beside a model. `signer` is the SHA-256 of the signer's public key in PEM, as the signature names it."""

    state: SignatureState
    signer: str | None = None
    data: bytes | None = None

    @property
    def digest(self) -> bytes | None:
        """The name under which the file is kept."""
        return None if self.data is None else hashlib.sha256(self.data).digest()


class Signatures:
    """The policy, and the keys whose signatures count."""

    def __init__(self, policy: SignaturePolicy, signers: Sequence[Path] = ()) -> None:
        """Raises: SettingsError where a key file is none."""
        self.policy = policy
        self._signers = {_key_id(path): path for path in signers}

    def examine(
        self, folder: Path, manifest: Manifest, *, model: str, apart_from: frozenset[str] = frozenset()
    ) -> Signature:
        """Check the signature of a folder on its way in. Names in `apart_from` were added here and are not the signer's.

        Raises: SignatureRefused by the policy, or where the signature is wrong.
        """
        path = folder / SIGNATURE_NAME
        if not path.is_file():
            return self._unsigned(model)
        data = _read(path, model)
        found = self.check(folder, data, manifest, model=model, apart_from=apart_from)
        if found.state is not SignatureState.VERIFIED and self.policy is SignaturePolicy.REQUIRED:
            raise SignatureRefused(model=model, reason=f"its signer is none of those in {SIGNERS_SETTING}")
        return found

    def check(
        self, folder: Path, data: bytes, manifest: Manifest, *, model: str, apart_from: frozenset[str] = frozenset()
    ) -> Signature:
        """Check a signature against the files of a folder. Raises: SignatureRefused where it is wrong under a key that counts."""
        if self.policy is SignaturePolicy.OFF:
            return Signature(state=SignatureState.UNCHECKED, data=data)
        try:
            hint, payload = _opened(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SignatureRefused(model=model, reason=f"{SIGNATURE_NAME} is no signature") from error
        key = self._signers.get(hint)
        if key is None:
            return Signature(state=SignatureState.UNCHECKED, signer=hint, data=data)
        _covers(payload, manifest, model, apart_from)
        _verify(folder, data, key, model, apart_from)
        return Signature(state=SignatureState.VERIFIED, signer=hint, data=data)

    def clear(self, version: ModelVersion) -> None:
        """Whether a version may be loaded under the policy and keys of now.

        Its worker loads nothing but the digest that was signed, so the signature's check at registration still holds for it;
        what may have changed since is who is trusted.

        Raises: SignatureRefused.
        """
        if self.policy is not SignaturePolicy.REQUIRED:
            return
        if version.signature is not SignatureState.VERIFIED:
            self._unsigned(version.reference)
            raise SignatureRefused(model=version.reference, reason="nobody whose key counts has signed it")
        if version.signer not in self._signers:
            raise SignatureRefused(model=version.reference, reason=f"its signer is no longer in {SIGNERS_SETTING}")

    def _unsigned(self, model: str) -> Signature:
        if self.policy is SignaturePolicy.REQUIRED:
            reason = f"there is no {SIGNATURE_NAME}, and TALLYSTICK_MODEL_SIGNATURES is `required`"
            raise SignatureRefused(model=model, reason=reason)
        return Signature(state=SignatureState.NONE)


def _verify(folder: Path, data: bytes, key: Path, model: str, apart_from: frozenset[str]) -> None:
    """Step 2: the library's own check, of the key's signature and of every file."""
    import tempfile

    from model_signing import hashing, verifying

    ignored = [folder / name for name in (SIGNATURE_NAME, *sorted(apart_from))]
    hasher: Any = hashing.Config()  # type: ignore[no-untyped-call]
    hasher.use_file_serialization(hashing_algorithm="sha256").set_ignored_paths(paths=ignored)
    config: Any = verifying.Config()  # type: ignore[no-untyped-call]
    with tempfile.NamedTemporaryFile(suffix=".sig") as file:
        file.write(data)
        file.flush()
        try:
            # The library prints warnings about old signatures; standard output belongs to the command's result.
            with contextlib.redirect_stdout(io.StringIO()):
                config.use_elliptic_key_verifier(public_key=key).set_hashing_config(hasher)
                config.verify(folder, Path(file.name))
        except Exception as error:  # its errors have no common root
            raise SignatureRefused(model=model, reason="it is not its key's, or not that of these files") from error


def _covers(payload: dict[str, Any], manifest: Manifest, model: str, apart_from: frozenset[str]) -> None:
    """Step 1: what was signed lists every file of ours. A signature may say of itself that it leaves files out."""
    try:
        resources = payload["predicate"]["resources"]
        signed = {str(item["name"]): (item["algorithm"], str(item["digest"])) for item in resources}
    except (KeyError, TypeError) as error:
        raise SignatureRefused(model=model, reason=f"{SIGNATURE_NAME} lists no files") from error
    for entry in manifest.files:
        if entry.name in apart_from:
            continue
        if signed.get(entry.name) != ("sha256", entry.sha256.hex()):
            raise SignatureRefused(model=model, reason=f"it does not cover {entry.name} with its SHA-256")


def _opened(data: bytes) -> tuple[str, dict[str, Any]]:
    """The key that a signature names, and what it signs. Nothing of it is checked yet."""
    bundle = json.loads(data)
    hint = bundle["verificationMaterial"]["publicKey"]["hint"]
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
    if not isinstance(hint, str) or len(hint) != 64 or not isinstance(payload, dict):
        raise ValueError("it names no key")
    return hint, payload


def _read(path: Path, model: str) -> bytes:
    if path.is_symlink() or path.stat().st_size > MAX_SIGNATURE_BYTES:
        raise SignatureRefused(
            model=model, reason=f"{SIGNATURE_NAME} is larger than {MAX_SIGNATURE_BYTES} bytes or a link"
        )
    return path.read_bytes()


def _key_id(path: Path) -> str:
    """A public key as signatures name it. Raises: SettingsError."""
    try:
        with path.open("rb") as file:
            key = load_pem_public_key(file.read(MAX_KEY_BYTES))
    except (OSError, ValueError) as error:
        raise SettingsError(setting=SIGNERS_SETTING, reason=f"{path} is no public key in PEM: {error}") from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise SettingsError(setting=SIGNERS_SETTING, reason=f"{path} is no key of {', '.join(sorted(CURVES))}")
    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
