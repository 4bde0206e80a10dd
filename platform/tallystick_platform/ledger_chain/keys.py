"""Where an account's key is read from: a wallet file of this project, or a keystore with its password in another file.

Errors name files and never what stands in them.
"""

from __future__ import annotations

import json
from pathlib import Path

from tallystick.errors import KeyFileError, KeyFormatError
from tallystick.keys import Wallet, read_secret_file

MAX_KEYSTORE_BYTES = 16_384
ENVIRONMENT = "TALLYSTICK_OPERATOR_KEY"
PASSWORD_SETTING = "TALLYSTICK_OPERATOR_PASSWORD_FILE"  # noqa: S105  (a setting's name)


def read_key_file(path: Path, password_file: Path | None = None, *, named_by: str = PASSWORD_SETTING) -> Wallet:
    """The key in a file: a wallet file, or a keystore (version 3), which needs the file that holds its password; `named_by` names that one.

    Wallet file and password file must be readable by their owner alone; a keystore is encrypted.

    Raises: KeyFileError
    """
    text = _keystore_text(path)
    if text is not None:
        if password_file is None:
            raise KeyFileError(str(path), f"is a keystore: say with {named_by} which file holds its password")
        return _from_keystore(path, text, password_file)
    try:
        return Wallet.from_text(read_secret_file(path))
    except ValueError as error:
        raise KeyFileError(str(path), str(error)) from error


def read_key_text(text: str) -> Wallet:
    """The key in an environment variable: 32 bytes of hex, or the line of a wallet file.

    Raises: KeyFileError
    """
    line = text.strip()
    digits = line.removeprefix("0x")
    try:
        if len(digits) == 64:
            return Wallet(bytes.fromhex(digits))
        return Wallet.from_text(line)
    except (ValueError, KeyFormatError) as error:
        raise KeyFileError(ENVIRONMENT, "is neither 32 bytes of hex nor the line of a wallet file") from error


def _keystore_text(path: Path) -> str | None:
    """The file's text if it looks like a keystore, which is JSON; else None."""
    if not path.is_file():
        return None  # what is wrong with it is said where wallet files are read
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEYSTORE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(str(path), error.strerror or str(error)) from error
    if not data.lstrip().startswith(b"{"):
        return None
    if len(data) > MAX_KEYSTORE_BYTES:
        raise KeyFileError(str(path), f"is longer than {MAX_KEYSTORE_BYTES} bytes: not a keystore")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KeyFileError(str(path), "is not text: not a keystore") from error


def _from_keystore(path: Path, text: str, password_file: Path) -> Wallet:
    password = read_secret_file(password_file)
    from eth_keyfile.keyfile import decode_keyfile_json

    try:
        return Wallet(bytes(decode_keyfile_json(_keystore(text), password.encode())))
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        reason = f"is no keystore of version 3 that the password in {password_file} opens: {type(error).__name__}"
        raise KeyFileError(str(path), reason) from error


def _keystore(text: str) -> dict[str, object]:
    keystore = json.loads(text)
    if not isinstance(keystore, dict):
        raise TypeError("a keystore is an object")
    if keystore.get("version", keystore.get("Version")) != 3:
        raise ValueError("a keystore of another version")
    return keystore
