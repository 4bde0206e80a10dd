"""What exports are signed with."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tallystick_platform.app.exports import signing_key
from tallystick_platform.settings import Mode, Settings


def test_development_generates_a_key_once_and_keeps_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    path = signing_key(settings)
    private = load_pem_private_key(path.read_bytes(), None)
    public = load_pem_public_key(path.with_suffix(".pub").read_bytes())
    assert private.public_key() == public
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    assert signing_key(settings) == path
    assert path.read_bytes() == before


def test_half_a_generated_key_is_made_anew(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    path = signing_key(settings)
    path.unlink()
    assert signing_key(settings).exists()
    public = load_pem_public_key(path.with_suffix(".pub").read_bytes())
    assert load_pem_private_key(path.read_bytes(), None).public_key() == public


def test_a_key_that_is_set_is_used(tmp_path: Path) -> None:
    assert signing_key(Settings(home=tmp_path, export_signing_key=tmp_path / "mine.pem")) == tmp_path / "mine.pem"
    assert not (tmp_path / "keys").exists()


def test_production_generates_no_key(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        mode=Mode.PRODUCTION,
        operator_key_file=tmp_path / "operator.key",
        auditor_public_keys=(tmp_path / "auditor.pub",),
    )
    assert signing_key(settings) is None
