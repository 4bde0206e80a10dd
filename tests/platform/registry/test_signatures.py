"""Who vouches for a model: signatures as model signing makes them, under each policy."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tallystick_platform.errors import SettingsError
from tallystick_platform.registry.entries import SignatureState, Stage
from tallystick_platform.registry.errors import SignatureRefused
from tallystick_platform.registry.signatures import MAX_SIGNATURE_BYTES, SignaturePolicy, Signatures
from tests.support.model_files import sign_folder
from tests.support.registries import FILES, Shelf, write

POLICIES = ("required", "warn", "off")


def key_pair(folder: Path, name: str, number: int) -> tuple[Path, Path]:
    """A key pair that is the same in each run."""
    key = ec.derive_private_key(number, ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


class Desk:
    """A known signer, a stranger, and a shelf under a policy."""

    def __init__(self, tmp_path: Path, policy: str = "required") -> None:
        self.home = tmp_path
        self.signer, self.signer_public = key_pair(tmp_path, "signer", 7)
        self.stranger, self.stranger_public = key_pair(tmp_path, "stranger", 11)
        self.shelf = Shelf(tmp_path / "home", signatures=self.trusting(policy, self.signer_public))

    def trusting(self, policy: str, *keys: Path) -> Signatures:
        return Signatures(SignaturePolicy(policy), keys)

    def signed(self, key: Path, **changed: bytes) -> dict[str, bytes]:
        """The files with a signature, some changed after it was made."""
        folder = write(self.home / "made", FILES)
        signature = sign_folder(folder, key).read_bytes()
        return FILES | {"model.sig": signature} | {name.replace("__", "."): data for name, data in changed.items()}


def test_a_known_signers_model_is_verified_and_names_the_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    version = desk.shelf.add(files=desk.signed(desk.signer))
    assert version.signature is SignatureState.VERIFIED
    assert version.signer is not None
    assert len(version.signer) == 64
    verification = desk.shelf.registry.verify("Acme/Tiny", None)
    assert (verification.ok, verification.signature, verification.signer) == (True, version.signature, version.signer)


def test_the_signature_is_kept_apart_and_leaves_the_digest_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "warn")
    signed, plain = desk.shelf.add("signed", files=desk.signed(desk.signer)), desk.shelf.add("plain")
    assert signed.digest == plain.digest
    assert (signed.signature, plain.signature) == (SignatureState.VERIFIED, SignatureState.NONE)
    assert not (desk.shelf.registry.path(signed) / "model.sig").exists()
    assert len(list(desk.shelf.folders.signatures.iterdir())) == 1
    desk.shelf.registry.remove("signed", None)
    assert list(desk.shelf.folders.signatures.iterdir()) == []
    assert desk.shelf.registry.verify("plain", None).ok


def test_what_was_added_to_an_adapter_here_is_not_held_against_its_signer(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "warn")
    base = desk.shelf.add("base", files=FILES | {"more.json": b"{}"})
    named = {"tallystick-base.json": b'{"base_digest":"00"}'}
    version = desk.shelf.add("adapter", files=desk.signed(desk.signer) | named, base=base.reference)
    assert version.signature is SignatureState.VERIFIED
    assert desk.shelf.registry.verify("adapter", None).ok
    with pytest.raises(SignatureRefused):
        desk.shelf.add("no-adapter", files=desk.signed(desk.signer) | named)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_nobody_signed_is_refused_where_a_signature_is_required(tmp_path: Path, policy: str) -> None:
    desk = Desk(tmp_path, policy)
    if policy == "required":
        with pytest.raises(SignatureRefused):
            desk.shelf.add()
        assert desk.shelf.left() == []
    else:
        assert desk.shelf.add().signature is SignatureState.NONE


@pytest.mark.parametrize("policy", POLICIES)
def test_a_strangers_signature_does_not_count(tmp_path: Path, policy: str) -> None:
    desk = Desk(tmp_path, policy)
    files = desk.signed(desk.stranger)
    if policy == "required":
        with pytest.raises(SignatureRefused):
            desk.shelf.add(files=files)
    else:
        assert desk.shelf.add(files=files).signature is SignatureState.UNCHECKED


@pytest.mark.parametrize("policy", ["required", "warn"])
@pytest.mark.parametrize("changed", ["model__safetensors", "config__json", "extra__json"])
def test_files_that_were_changed_after_a_known_signer_signed_are_refused(
    tmp_path: Path, policy: str, changed: str
) -> None:
    desk = Desk(tmp_path, policy)
    with pytest.raises(SignatureRefused):
        desk.shelf.add(files=desk.signed(desk.signer, **{changed: b'{"task": "chat"}'}))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    files = desk.signed(desk.signer)
    del files["sub/tokens.txt"]
    with pytest.raises(SignatureRefused):
        desk.shelf.add(files=files)


def test_a_signature_that_leaves_a_file_out_is_refused(tmp_path: Path) -> None:
    from model_signing import hashing, signing

    desk = Desk(tmp_path)
    folder = write(tmp_path / "made", FILES)
    ignoring = hashing.Config().use_file_serialization(hashing_algorithm="sha256")
    ignoring.set_ignored_paths(paths=[folder / "config.json"])
    config = signing.Config().use_elliptic_key_signer(private_key=desk.signer).set_hashing_config(ignoring)
    config.sign(folder, folder / "model.sig")
    with pytest.raises(SignatureRefused, match=r"does not cover config\.json"):
        desk.shelf.add(files=FILES | {"model.sig": (folder / "model.sig").read_bytes()})


def test_a_signature_of_another_key_under_a_known_signers_name_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "warn")
    known, forged = (json.loads(desk.signed(key)["model.sig"]) for key in (desk.signer, desk.stranger))
    forged["verificationMaterial"] = known["verificationMaterial"]
    with pytest.raises(SignatureRefused):
        desk.shelf.add(files=FILES | {"model.sig": json.dumps(forged).encode()})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"verificationMaterial":{"publicKey":{"hint":1}},"dsseEnvelope":{"payload":""}}',
        b'{"verificationMaterial":null}',
        json.dumps(
            {
                "verificationMaterial": {"publicKey": {"hint": "0" * 64}},
                "dsseEnvelope": {"payload": base64.b64encode(b"[]").decode()},
            }
        ).encode(),
    ],
)
def test_what_is_no_signature_is_refused_and_not_taken_for_none(tmp_path: Path, data: bytes) -> None:
    desk = Desk(tmp_path, "warn")
    with pytest.raises(SignatureRefused, match="no signature"):
        desk.shelf.add(files=FILES | {"model.sig": data})


def test_a_signature_has_a_bound(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "warn")
    with pytest.raises(SignatureRefused, match="larger"):
        desk.shelf.add(files=FILES | {"model.sig": b" " * (MAX_SIGNATURE_BYTES + 1)})


def test_a_signer_who_is_not_trusted_any_more_keeps_a_version_from_being_loaded(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    version = desk.shelf.add(files=desk.signed(desk.signer))
    desk.trusting("required", desk.signer_public).clear(version)
    for policy in ("warn", "off"):
        desk.trusting(policy).clear(version)
    with pytest.raises(SignatureRefused):
        desk.trusting("required", desk.stranger_public).clear(version)


def test_a_version_from_before_signatures_were_required_is_not_promoted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "warn")
    desk.shelf.add()
    desk.shelf.registry.signatures = desk.trusting("required", desk.signer_public)
    with pytest.raises(SignatureRefused):
        desk.shelf.registry.promote("Acme/Tiny", None)
    assert desk.shelf.registry.find("Acme/Tiny", None).stage is Stage.STAGING


def test_a_damaged_signature_file_does_not_verify(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.shelf.add(files=desk.signed(desk.signer))
    (path,) = desk.shelf.folders.signatures.iterdir()
    path.write_bytes(b"{}")
    verification = desk.shelf.registry.verify("Acme/Tiny", None)
    assert (verification.ok, verification.signature) == (False, SignatureState.NONE)


def test_a_setting_that_names_no_key_stops_the_start(tmp_path: Path) -> None:
    other = tmp_path / "rsa.pub"
    rsa_key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048).public_key()
    other.write_bytes(rsa_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "text.pub").write_text("no key")
    for name in ("rsa.pub", "text.pub", "none.pub"):
        with pytest.raises(SettingsError, match="TALLYSTICK_MODEL_SIGNERS"):
            Signatures(SignaturePolicy.WARN, [tmp_path / name])
