"""The signature of an export: an OpenSSF model-signing bundle by an elliptic-curve key, over the hashes that are known already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tallystick.manifest import LEFT_OUT, SIGNATURE_NAME, Manifest
from tallystick_platform.errors import kind_of
from tallystick_platform.exporter.errors import ExportRefused

MAX_KEY_BYTES = 65_536
CURVES = ("secp256r1", "secp384r1", "secp521r1")


def sign_folder(folder: Path, manifest: Manifest, key: Path) -> Path:
    """Write `model.sig` into a folder whose files are those of the manifest; nothing is hashed again.

    Requires: an unencrypted PEM private key on P-256, P-384 or P-521. Raises: ExportRefused for any other, OSError.
    """
    from model_signing import signing

    require_key(key)
    config: Any = signing.Config()  # type: ignore[no-untyped-call]
    try:
        config.use_elliptic_key_signer(private_key=key).set_hashing_config(_KnownHashes(manifest))
        config.sign(folder, folder / SIGNATURE_NAME)
    except (ValueError, TypeError) as error:
        raise ExportRefused(reason=f"the signing key {key.name} cannot be used: {kind_of(error)}") from error
    return folder / SIGNATURE_NAME


def require_key(key: Path) -> None:
    """Look at the key before the work is done that it shall sign. Raises: ExportRefused."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        if key.stat().st_size > MAX_KEY_BYTES:
            raise ExportRefused(reason=f"the signing key {key.name} is larger than {MAX_KEY_BYTES} bytes")
        loaded = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ExportRefused(reason=f"the signing key {key.name} cannot be read: {kind_of(error)}") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.curve.name not in CURVES:
        raise ExportRefused(reason=f"the signing key {key.name} is none on the curves {', '.join(CURVES)}")


class _KnownHashes:
    """Takes the place of model-signing's hashing: the files' hashes from the manifest, as it would find them."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def hash(self, model_path: Path) -> Any:
        """The library's own manifest, of the same names and hashes."""
        from model_signing import hashing as library
        from model_signing import manifest as manifests

        digest: Any = library.hashing.Digest  # type: ignore[attr-defined]

        kind = manifests.SerializationType.from_args(
            {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": sorted(LEFT_OUT)}
        )
        items = [kind.new_item(entry.name, digest("sha256", entry.sha256)) for entry in self._manifest.files]
        return manifests.Manifest(model_path.name, items, kind)
