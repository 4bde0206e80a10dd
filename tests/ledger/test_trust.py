import dataclasses
import os
import stat
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import TrustError
from tallystick.hashing import keccak256
from tallystick.ids import Address, Head, LogId
from tallystick.trust.file import MAX_FILE_BYTES, change_trust, default_path, read_trust, trust_text
from tallystick.trust.logs import MAX_HOW_CHARS, MAX_LOGS, MAX_NAME_CHARS, MAX_WRITERS, SeenHead, Trust, TrustedLog
from tests.support.vectors.cast import SENDER, WRITER
from tests.support.vectors.trust_files import TRUSTED, UNSEEN


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "tallystick" / "trust.toml"


def written(path: Path, *logs: TrustedLog) -> Trust:
    def add(trust: Trust) -> Trust:
        for log in logs:
            trust = trust.added(log)
        return trust

    return change_trust(path, add)


def test_what_is_added_is_read_again(path):
    trust = written(path, TRUSTED, UNSEEN)
    assert read_trust(path) == trust
    assert read_trust(path).logs == (TRUSTED, UNSEEN)


def test_without_a_file_nothing_is_trusted_and_none_is_made(path):
    assert read_trust(path) == Trust(path)
    assert not path.exists()


def test_an_empty_file_trusts_nothing(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert read_trust(path).logs == ()


def test_a_log_is_found_by_its_identifier_and_by_its_name(path):
    trust = written(path, TRUSTED, UNSEEN)
    assert trust.find(TRUSTED.log_id) == TRUSTED
    assert trust.find(LogId(bytes(32))) is None
    assert trust.named(UNSEEN.name) == UNSEEN
    with pytest.raises(TrustError) as caught:
        trust.named("nobody")
    assert caught.value.name == "nobody"


def test_a_removed_log_is_trusted_no_more(path):
    written(path, TRUSTED, UNSEEN)
    change_trust(path, lambda trust: trust.removed(TRUSTED.name))
    assert read_trust(path).logs == (UNSEEN,)
    with pytest.raises(TrustError):
        change_trust(path, lambda trust: trust.removed(TRUSTED.name))


def test_neither_name_nor_log_stands_twice(path):
    written(path, TRUSTED)
    for again in (dataclasses.replace(UNSEEN, name=TRUSTED.name), dataclasses.replace(UNSEEN, log_id=TRUSTED.log_id)):
        with pytest.raises(TrustError, match="there already"):
            written(path, again)
    assert read_trust(path).logs == (TRUSTED,)


def seen(entries: int) -> SeenHead:
    return SeenHead(entries=entries, size=entries * 3, head=Head(keccak256(bytes((entries,)))))


def test_the_last_verified_head_is_remembered_with_the_writers_found(path):
    written(path, UNSEEN)
    change_trust(path, lambda trust: trust.remembering(UNSEEN.log_id, seen(5), [WRITER.address, SENDER.address]))
    log = read_trust(path).named(UNSEEN.name)
    assert (log.seen, log.writers) == (seen(5), (WRITER.address, SENDER.address))


def test_an_older_head_does_not_replace_a_newer_one():
    trust = Trust(Path("t"), (UNSEEN,)).remembering(UNSEEN.log_id, seen(5))
    assert trust.remembering(UNSEEN.log_id, seen(4)).named(UNSEEN.name).seen == seen(5)
    assert trust.remembering(UNSEEN.log_id, seen(6)).named(UNSEEN.name).seen == seen(6)


def test_a_head_of_a_log_that_is_not_trusted_is_not_remembered():
    with pytest.raises(TrustError, match="does not hold"):
        Trust(Path("t")).remembering(UNSEEN.log_id, seen(5))


def test_the_other_logs_are_left_as_they_are():
    trust = Trust(Path("t"), (TRUSTED, UNSEEN)).remembering(UNSEEN.log_id, seen(5))
    assert trust.logs[0] is TRUSTED


def test_the_file_is_its_owners_alone_whatever_the_umask(path):
    before = os.umask(0)
    try:
        written(path, TRUSTED)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_believed(path, mode):
    written(path, TRUSTED)
    path.chmod(mode)
    with pytest.raises(TrustError, match="chmod 600"):
        read_trust(path)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400])
def test_a_file_that_others_may_only_read_is(path, mode):
    written(path, TRUSTED)
    path.chmod(mode)
    assert read_trust(path).logs == (TRUSTED,)


def test_a_file_of_another_user_is_not_believed(path, monkeypatch):
    written(path, TRUSTED)
    if os.geteuid() == 0:
        os.chown(path, 12_345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(TrustError, match="another user"):
        read_trust(path)


def test_something_else_than_a_file_is_refused(path):
    path.mkdir(parents=True)
    with pytest.raises(TrustError):
        read_trust(path)
    with pytest.raises(TrustError):
        written(path, TRUSTED)


def test_a_pipe_does_not_hold_up_the_reader(path):
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(TrustError, match="regular file"):
        read_trust(path)


def test_a_file_larger_than_the_bound_is_refused(path):
    written(path, TRUSTED)
    good = path.read_bytes()
    path.write_bytes(good + b"#" * (MAX_FILE_BYTES - len(good)))
    assert read_trust(path).logs == (TRUSTED,)
    path.write_bytes(good + b"#" * (MAX_FILE_BYTES - len(good) + 1))
    with pytest.raises(TrustError, match=str(MAX_FILE_BYTES)):
        read_trust(path)


def test_a_change_that_fails_changes_nothing_and_leaves_nothing_behind(path):
    written(path, TRUSTED)
    before = path.read_bytes()

    def fails(trust: Trust) -> Trust:
        raise TrustError(str(path), "cannot be")

    with pytest.raises(TrustError, match="cannot be"):
        change_trust(path, fails)
    assert path.read_bytes() == before
    assert sorted(one.name for one in path.parent.iterdir()) == [".trust.toml.lock", "trust.toml"]


def test_a_write_that_fails_leaves_the_old_file_whole(path, monkeypatch):
    written(path, TRUSTED)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrustError, match="No space left"):
        written(path, UNSEEN)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.partial"))


def test_a_file_that_could_not_be_read_again_is_not_written(path):
    written(path, TRUSTED)
    before = path.read_bytes()
    many = tuple(
        dataclasses.replace(UNSEEN, name=f"n{at}", log_id=LogId(at.to_bytes(32, "big")), writers=MANY[:-1])
        for at in range(100)
    )
    with pytest.raises(TrustError, match=str(MAX_FILE_BYTES)):
        written(path, *many)
    assert path.read_bytes() == before


def test_a_folder_in_which_nothing_can_be_opened_is_told(path):
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("a file where the folder should be")
    for use in (read_trust, written):
        with pytest.raises(TrustError):
            use(path)


def test_changes_at_the_same_time_lose_none(path):
    logs = [dataclasses.replace(UNSEEN, name=f"log_{at}", log_id=LogId(keccak256(b"log %d" % at))) for at in range(12)]
    threads = [threading.Thread(target=written, args=(path, log)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {log.name for log in read_trust(path).logs} == {log.name for log in logs}


LONGEST = "n" * MAX_NAME_CHARS
MANY = tuple(Address(number.to_bytes(20, "big")) for number in range(MAX_WRITERS + 1))
FAULTS = [
    ("name", LONGEST, "n" * (MAX_NAME_CHARS + 1)),
    ("name", "a-b_C9", "a b"),
    ("name", "a", ""),
    ("name", "a", "\u00e9"),
    ("how", "x" * MAX_HOW_CHARS, "x" * (MAX_HOW_CHARS + 1)),
    ("how", "x", ""),
    ("how", '"\\"', "a\x1b[2J"),
    ("writers", MANY[:-1], MANY),
    ("writers", MANY[:1], ()),
    ("writers", MANY[:2], (MANY[0], MANY[0])),
    ("chain_id", 2**53 - 1, 2**53),
    ("chain_id", 0, -1),
    ("added", datetime(1970, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)),
    ("added", datetime(9998, 12, 31, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)),
    ("added", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)),
]


@pytest.mark.parametrize(("member", "right", "wrong"), FAULTS)
def test_each_bound_holds_where_it_is_and_not_beyond(path, member, right, wrong):
    log = dataclasses.replace(TRUSTED, **{member: right})
    assert written(path, log).logs == read_trust(path).logs == (log,)
    with pytest.raises(TrustError):
        Trust(path).added(dataclasses.replace(TRUSTED, **{member: wrong}))


def test_as_many_logs_as_the_bound_and_no_more():
    logs = tuple(
        dataclasses.replace(UNSEEN, name=f"n{number}", log_id=LogId(number.to_bytes(32, "big")))
        for number in range(MAX_LOGS)
    )
    trust = Trust(Path("t"), logs[:-1]).added(logs[-1])
    with pytest.raises(TrustError, match=str(MAX_LOGS)):
        trust.added(TRUSTED)


@given(how=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40), hours=st.integers(-12, 12))
def test_whatever_may_stand_in_the_file_comes_back(tmp_path_factory, how, hours):
    path = tmp_path_factory.mktemp("trust") / "trust.toml"
    added = datetime(2026, 11, 28, 12, tzinfo=timezone(timedelta(hours=hours)))
    log = dataclasses.replace(TRUSTED, how=how, added=added)
    path.write_text(trust_text(Trust(path, (log,))), encoding="utf-8")
    assert read_trust(path).logs == (log,)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "/home/ann/.config/tallystick/trust.toml"),
        ({"XDG_CONFIG_HOME": ""}, "/home/ann/.config/tallystick/trust.toml"),
        ({"XDG_CONFIG_HOME": "relative"}, "/home/ann/.config/tallystick/trust.toml"),
        ({"XDG_CONFIG_HOME": "/etc/mine"}, "/etc/mine/tallystick/trust.toml"),
    ],
)
def test_the_file_is_in_the_users_configuration_folder(environment, expected):
    assert default_path(environment, Path("/home/ann")) == Path(expected)


def test_a_name_from_a_strangers_file_cannot_move_a_terminal(path):
    path.parent.mkdir(parents=True)
    path.write_text('[log."\\u001b[2J"]\n')
    with pytest.raises(TrustError) as caught:
        read_trust(path)
    assert str(caught.value).isprintable()
