"""Where an account's key is read from, and what is said where that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_keyfile import create_keyfile_json

from tallystick.errors import KeyFileError
from tallystick.keys import Wallet, write_secret_file
from tallystick_platform.ledger_chain.keys import MAX_KEYSTORE_BYTES, read_key_file, read_key_text

WALLET = Wallet(b"\x11" * 32)
PASSWORD = "correct horse"
ITERATIONS = 2  # the keystore's own strength is not under test


@pytest.fixture(scope="module")
def keystore() -> str:
    return json.dumps(create_keyfile_json(WALLET.secret, PASSWORD.encode(), kdf="pbkdf2", iterations=ITERATIONS))


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    write_secret_file(path, PASSWORD)
    return path


def written(folder: Path, text: str) -> Path:
    path = folder / "key.json"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_wallet_file_is_read(tmp_path):
    assert read_key_file(written(tmp_path, WALLET.to_text() + "\n")).secret == WALLET.secret


def test_a_keystore_is_opened_with_the_password_in_its_file(tmp_path, keystore, password):
    assert read_key_file(written(tmp_path, keystore), password).secret == WALLET.secret


def test_a_keystore_may_be_laid_out_over_lines_and_readable_by_all(tmp_path, keystore, password):
    path = written(tmp_path, "\n" + json.dumps(json.loads(keystore), indent=2))
    path.chmod(0o644)
    assert read_key_file(path, password).secret == WALLET.secret


def test_a_scrypt_keystore_is_opened_too(tmp_path, password):
    made = create_keyfile_json(WALLET.secret, PASSWORD.encode(), kdf="scrypt", iterations=2)
    assert read_key_file(written(tmp_path, json.dumps(made)), password).secret == WALLET.secret


def refused(path: Path, password: Path | None = None) -> str:
    with pytest.raises(KeyFileError) as caught:
        read_key_file(path, password)
    told = str(caught.value)
    assert WALLET.secret.hex() not in told
    assert PASSWORD not in told
    return told


def test_a_keystore_without_a_password_file_says_which_setting(tmp_path, keystore):
    assert "TALLYSTICK_OPERATOR_PASSWORD_FILE" in refused(written(tmp_path, keystore))


def test_a_wrong_password_is_named_by_its_file_and_not_by_itself(tmp_path, keystore):
    wrong = tmp_path / "wrong"
    write_secret_file(wrong, "incorrect donkey")
    told = refused(written(tmp_path, keystore), wrong)
    assert str(wrong) in told
    assert "donkey" not in told


def test_a_password_that_others_may_read_is_refused(tmp_path, keystore, password):
    password.chmod(0o644)
    assert "chmod 600" in refused(written(tmp_path, keystore), password)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{",
        '{"version": 4}',
        '{"version": 3}',
        '{"version": 3, "crypto": {}}',
        '{"version": 3, "crypto": {"kdf": "none"}}',
        "{" + " " * MAX_KEYSTORE_BYTES,
        '{"\udcff',
    ],
)
def test_what_is_no_keystore_is_refused_by_its_name(tmp_path, password, text):
    path = tmp_path / "key.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    assert str(path) in refused(path, password)


@pytest.mark.parametrize("text", ["", "nonsense", "tallystick-wallet-v2:00"])
def test_what_is_neither_is_refused_by_its_name(tmp_path, text):
    path = written(tmp_path, text)
    assert str(path) in refused(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "No such file" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text", [WALLET.secret.hex(), "0x" + WALLET.secret.hex(), WALLET.to_text(), f" {WALLET.to_text()} "]
)
def test_a_key_in_the_environment_is_hex_or_a_wallet_s_line(text):
    assert read_key_text(text).secret == WALLET.secret


@pytest.mark.parametrize("text", ["", "0x" + "00" * 32, "ff" * 32, "zz" * 32, "11" * 31])
def test_another_text_in_the_environment_is_refused_without_being_shown(text):
    with pytest.raises(KeyFileError) as caught:
        read_key_text(text)
    assert "TALLYSTICK_OPERATOR_KEY" in str(caught.value)
    assert not text or text not in str(caught.value)
