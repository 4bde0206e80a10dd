"""Which keys may sign an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from model_signing import verifying

from tallystick.manifest import hash_folder
from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.signing import MAX_KEY_BYTES, require_key, sign_folder


def written(tmp_path: Path, key: Any, encryption: Any = None) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    return path


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a_signature_by_each_curve_verifies_until_a_file_is_added(tmp_path: Path, curve: Any) -> None:
    key = ec.generate_private_key(curve)
    public = tmp_path / "key.pub"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "deep" / "b").write_bytes(b"2")
    signature = sign_folder(folder, hash_folder(folder), written(tmp_path, key))
    verifier: Any = verifying.Config().use_elliptic_key_verifier(public_key=public)
    verifier.verify(folder, signature)
    (folder / "c").write_bytes(b"3")
    with pytest.raises(ValueError, match="c"):
        verifier.verify(folder, signature)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256K1()), ed25519.Ed25519PrivateKey.generate()])
def test_a_key_on_another_curve_is_refused(tmp_path: Path, key: Any) -> None:
    with pytest.raises(ExportRefused, match="none on the curves"):
        require_key(written(tmp_path, key))


def test_a_key_behind_a_password_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ExportRefused, match="cannot be read"):
        require_key(written(tmp_path, key, BestAvailableEncryption(b"secret")))


def test_a_file_too_large_for_a_key_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(b"x" * (MAX_KEY_BYTES + 1))
    with pytest.raises(ExportRefused, match=f"larger than {MAX_KEY_BYTES}"):
        require_key(tmp_path / "key.pem")


def test_a_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="cannot be read"):
        require_key(tmp_path / "nowhere.pem")
