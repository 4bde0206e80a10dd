"""Epoch keys as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.errors import KeyFileError
from tallystick.ids import Epoch, LogId
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tests.support.journals import LOG_ID

ONE, TWO = Epoch(1), Epoch(2)


@pytest.fixture
def files(tmp_path: Path) -> EpochKeyFiles:
    return EpochKeyFiles(tmp_path / "epochs", LOG_ID)


def test_a_new_key_is_a_file_for_its_owner_alone(files: EpochKeyFiles, tmp_path: Path) -> None:
    key = files.create(ONE)
    path = tmp_path / "epochs" / "1.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "epochs").stat().st_mode & 0o777 == 0o700
    assert files.load(ONE) == key
    assert (key.log_id, key.epoch, len(key.secret)) == (LOG_ID, 1, 32)


def test_a_key_that_is_there_is_taken_up_and_not_replaced(files: EpochKeyFiles) -> None:
    assert files.create(ONE) == files.create(ONE)


def test_every_epoch_has_a_key_of_its_own(files: EpochKeyFiles) -> None:
    assert files.create(ONE).secret != files.create(TWO).secret
    assert files.held() == [1, 2]


def test_a_key_that_is_not_held_is_none(files: EpochKeyFiles) -> None:
    assert files.load(ONE) is None
    assert files.held() == []


def test_an_erased_key_is_gone_from_the_disk(files: EpochKeyFiles, tmp_path: Path) -> None:
    path = tmp_path / "epochs" / "1.key"
    secret = files.create(ONE).secret.hex()
    twin = tmp_path / "twin"
    twin.hardlink_to(path)
    files.erase(ONE)
    assert not path.exists()
    assert secret not in twin.read_text()
    assert files.load(ONE) is None


def test_erasing_a_key_that_is_not_there_says_so(files: EpochKeyFiles) -> None:
    with pytest.raises(KeyFileError):
        files.erase(ONE)


def test_a_key_of_another_log_is_refused(files: EpochKeyFiles, tmp_path: Path) -> None:
    files.create(ONE)
    with pytest.raises(KeyFileError, match="of log 0x10"):
        EpochKeyFiles(tmp_path / "epochs", LogId(b"\x22" * 32)).load(ONE)


def test_a_key_under_the_name_of_another_epoch_is_refused(files: EpochKeyFiles, tmp_path: Path) -> None:
    files.create(ONE)
    (tmp_path / "epochs" / "1.key").rename(tmp_path / "epochs" / "2.key")
    with pytest.raises(KeyFileError, match="epoch 1"):
        files.load(TWO)


@pytest.mark.parametrize(
    "text", ["nonsense", "tallystick-epoch-key-v1:10", f"tallystick-epoch-key-v1:{'10' * 32}:1:zz", ""]
)
def test_a_file_that_is_no_key_is_refused(files: EpochKeyFiles, tmp_path: Path, text: str) -> None:
    files.create(ONE)
    (tmp_path / "epochs" / "1.key").write_text(text)
    with pytest.raises(KeyFileError):
        files.load(ONE)


def test_a_key_that_others_may_read_is_refused(files: EpochKeyFiles, tmp_path: Path) -> None:
    files.create(ONE)
    (tmp_path / "epochs" / "1.key").chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        files.load(ONE)
