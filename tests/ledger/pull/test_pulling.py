import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick.errors import ModelDigestError, PullBlocked, PullRefused, PullUnavailable
from tallystick.ids import to_hex
from tallystick.manifest import hash_folder
from tallystick.pull import Server, pull, pulling, staging
from tests.support.export_server import RECORD_ID, ExportServer, Stall, serving

ROOT = Path(__file__).parents[3]
FILES = {
    "config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 1_000,
    "onnx/model ü.onnx": b"graph",
    "empty": b"",
    "model.sig": b"signature",
}
BIG = "model.safetensors"


@pytest.fixture
def export():
    with serving(ExportServer(files=dict(FILES))) as export:
        yield export


@pytest.fixture
def target(tmp_path):
    return tmp_path / "models" / "out"


@pytest.fixture
def fetch(export, target):
    """Pull, and note the pauses instead of making them."""

    def fetch(progress=None, token=None):
        server = Server(export.url, token, timeout_s=20)
        try:
            return pull(server, target, progress, sleep=fetch.pauses.append)
        finally:
            server.close()

    fetch.pauses = []
    return fetch


def partial(export, target):
    """The folder in which the export gathers."""
    digest = str(export.document()["manifest_digest"]).removeprefix("0x")
    return target.with_name(f"{target.name}.{digest[:12]}.part")


def held(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ranges(export):
    return [request.headers.get("Range") for request in export.file_requests()]


def test_an_export_comes_whole_and_under_the_digest_that_was_listed(export, fetch, target):
    pulled = fetch()
    assert held(target) == FILES
    assert to_hex(pulled.digest) == to_hex(hash_folder(target).digest) == export.document()["manifest_digest"]
    assert (pulled.files, pulled.size, pulled.received) == (5, sum(map(len, FILES.values())), pulled.size)
    assert set(pulled.records) == {RECORD_ID}
    assert not partial(export, target).exists()


def test_one_connection_and_one_request_for_each_file_that_holds_anything(export, fetch):
    fetch()
    assert len(export.file_requests()) == 4
    assert ranges(export) == [None] * 4


def test_progress_ends_with_everything(export, fetch):
    told = []
    pulled = fetch(lambda done, total: told.append((done, total)))
    assert told[-1] == (pulled.size, pulled.size)
    assert told == sorted(told)


def test_the_token_is_sent(export, fetch, target):
    export.token = "secret"
    with pytest.raises(PullRefused, match=r"HTTP 401: the server knows no such token.* no such token"):
        fetch()
    fetch(token="secret")
    assert held(target) == FILES


def test_a_second_pull_fetches_nothing(export, fetch):
    fetch()
    export.requests.clear()
    assert fetch().received == 0
    assert export.file_requests() == []


def test_a_broken_connection_is_resumed_where_it_broke(export, fetch, target):
    export.breaks = [None, 100_000, 50_000]
    pulled = fetch()
    assert held(target) == FILES
    assert ranges(export)[:4] == [None, None, "bytes=100000-", "bytes=150000-"]
    assert pulled.received == pulled.size
    assert fetch.pauses == [0.5, 0.5]


def test_the_rest_is_asked_for_under_the_condition_that_the_content_is_the_same(export, fetch):
    export.breaks = [None, 1_000]
    fetch()
    resumed = export.file_requests()[2]
    assert resumed.headers["If-Range"] == f'"{hashlib.sha256(FILES[BIG]).hexdigest()}"'


def test_a_server_without_ranges_is_read_from_the_beginning(export, fetch, target):
    export.honours_ranges, export.breaks = False, [None, 1_000]
    fetch()
    assert held(target) == FILES


def test_a_server_without_ranges_that_breaks_off_again_and_again_is_given_up(export, fetch):
    export.honours_ranges, export.breaks = False, [None, 1_000, 2_000, 3_000, 4_000, 5_000]
    with pytest.raises(PullUnavailable, match="is not given in parts"):
        fetch()
    assert len(export.file_requests()) == 1 + 1 + pulling.MAX_RESTARTS + 1


def test_a_server_that_gives_nothing_more_is_given_up_after_a_bounded_number_of_attempts(export, fetch, target):
    export.breaks = [None, 1_000] + [0] * 10
    with pytest.raises(PullUnavailable, match="broke off"):
        fetch()
    assert len(export.file_requests()) == 2 + pulling.ATTEMPTS - 1
    assert fetch.pauses == [0.5, 1, 2, 4]
    assert not target.exists()
    assert (partial(export, target) / BIG).stat().st_size == 1_000


def test_a_later_pull_goes_on_from_what_came(export, fetch, target):
    export.breaks = [None, 1_000] + [0] * 4
    with pytest.raises(PullUnavailable):
        fetch()
    export.breaks.clear()
    export.requests.clear()
    pulled = fetch()
    assert held(target) == FILES
    assert ranges(export)[0] == "bytes=1000-"
    assert pulled.received == pulled.size - 1_000 - len(FILES["config.json"])


def test_a_damaged_part_of_an_earlier_run_is_fetched_anew(export, fetch, target):
    folder = partial(export, target)
    folder.mkdir(parents=True)
    (folder / BIG).write_bytes(b"damaged" + FILES[BIG][7:2_000])
    (folder / "config.json").write_bytes(b"[]")
    fetch()
    assert held(target) == FILES


def test_a_part_that_is_longer_than_the_file_is_dropped(export, fetch, target):
    folder = partial(export, target)
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{} and more")
    fetch()
    assert held(target) == FILES


def test_a_busy_server_is_asked_again_when_it_says(export, fetch, target):
    export.statuses = [503, 429]
    fetch()
    assert fetch.pauses == [7.0, 7.0]
    assert held(target) == FILES


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_is_refused_for_it_would_carry_the_token_elsewhere(export, fetch, status):
    export.statuses = [status]
    with pytest.raises(PullRefused, match="redirects are not followed"):
        fetch(token="secret")


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "may not"), (404, "no such export"), (410, "not kept"), (418, "HTTP 418"), (204, "HTTP 204")],
)
def test_another_answer_is_refused_with_what_it_means(export, fetch, target, status, reason):
    export.statuses = [status]
    with pytest.raises(PullRefused, match=reason) as raised:
        fetch()
    assert raised.value.status == status
    assert not target.exists()


def test_a_file_with_other_content_is_proven_wrong_and_dropped(export, fetch, target):
    export.sent[BIG] = FILES[BIG][:-1] + b"!"
    with pytest.raises(ModelDigestError, match=r"model file model\.safetensors: expected SHA-256") as raised:
        fetch()
    assert raised.value.found == f"SHA-256 {hashlib.sha256(export.sent[BIG]).hexdigest()}"
    assert not target.exists()
    assert not (partial(export, target) / BIG).exists()


def test_content_that_changed_between_two_parts_is_proven_wrong(export, fetch, target):
    export.breaks, export.sent[BIG] = [None, 1_000], b"!" * len(FILES[BIG])
    with pytest.raises(ModelDigestError):
        fetch()
    assert not target.exists()


@pytest.mark.parametrize("announces_length", [True, False])
def test_a_longer_file_is_proven_wrong_and_not_read_to_its_end(export, fetch, announces_length):
    export.announces_length, export.sent[BIG] = announces_length, FILES[BIG] + b"more"
    with pytest.raises(ModelDigestError, match="expected 256000 bytes, as listed, found more than 256000 bytes"):
        fetch()


def test_a_shorter_file_is_proven_wrong(export, fetch):
    export.sent[BIG] = FILES[BIG][:-1]
    with pytest.raises(ModelDigestError, match="found 255999 bytes"):
        fetch()


def test_a_body_of_unknown_length_that_ends_early_is_resumed(export, fetch, target):
    export.announces_length, export.breaks = False, [None, 1_000]
    fetch()
    assert held(target) == FILES
    assert "bytes=1000-" in ranges(export)


def test_a_list_of_files_that_breaks_off_is_asked_for_again(export, fetch, target):
    export.listing_breaks = [10, 20]
    fetch()
    assert held(target) == FILES
    assert fetch.pauses == [0.5, 1]


def test_a_part_beyond_what_the_server_has_starts_anew_and_is_proven_wrong(export, fetch, target):
    folder = partial(export, target)
    folder.mkdir(parents=True)
    (folder / BIG).write_bytes(FILES[BIG][:1_000])
    export.sent[BIG] = FILES[BIG][:500]
    with pytest.raises(ModelDigestError, match="found 500 bytes"):
        fetch()
    assert ranges(export)[1:] == ["bytes=1000-", None]


def test_another_part_than_was_asked_for_is_refused(export, fetch):
    export.breaks, export.extra_headers = [None, 1_000], {"Content-Range": "bytes 999-255999/256000"}
    with pytest.raises(PullRefused, match="another part"):
        fetch()


def test_a_compressed_answer_is_refused(export, fetch):
    export.extra_headers = {"Content-Encoding": "gzip"}
    with pytest.raises(PullRefused, match="encoding that was not asked for"):
        fetch()


def test_a_record_id_that_is_none_is_not_shown(export, fetch):
    export.extra_headers = {"X-Tallystick-Record": "x" * 1_000}
    assert set(fetch().records) <= {RECORD_ID}


def test_a_server_that_is_not_there_is_given_up(target):
    server = Server("http://127.0.0.1:9/v1/exports/e1", None)
    with pytest.raises(PullUnavailable):
        pull(server, target, sleep=lambda pause_s: None)
    assert not target.parent.exists()


def test_a_folder_with_something_else_is_not_overwritten(export, fetch, target):
    target.mkdir(parents=True)
    (target / "mine").write_bytes(b"mine")
    with pytest.raises(PullBlocked, match="is not this export; it is not overwritten"):
        fetch()
    assert held(target) == {"mine": b"mine"}
    assert export.file_requests() == []


def test_a_file_in_the_targets_place_is_not_overwritten(export, fetch, target):
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with pytest.raises(PullBlocked, match="is not a folder"):
        fetch()


def test_a_folder_that_has_no_digest_is_not_overwritten(export, fetch, target):
    target.mkdir(parents=True)
    (target / "link").symlink_to("/etc/passwd")
    with pytest.raises(PullBlocked, match="is not overwritten"):
        fetch()


def test_a_folder_that_came_into_being_meanwhile_is_not_overwritten(export, fetch, target):
    def make(done, total):
        target.mkdir(exist_ok=True)
        (target / "mine").write_bytes(b"mine")

    with pytest.raises(PullBlocked, match="not empty"):
        fetch(make)
    assert held(target) == {"mine": b"mine"}
    assert held(partial(export, target)) == FILES


def test_a_file_where_the_parts_would_gather_is_in_the_way(export, fetch, target):
    target.parent.mkdir()
    partial(export, target).write_bytes(b"")
    with pytest.raises(PullBlocked):
        fetch()


def test_an_empty_folder_is_filled(export, fetch, target):
    target.mkdir(parents=True)
    fetch()
    assert held(target) == FILES


def test_two_pulls_of_one_export_do_not_meet(export, fetch, target):
    folder = partial(export, target)
    folder.mkdir(parents=True)
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(PullBlocked, match="another pull works on it"):
            fetch()
    finally:
        os.close(descriptor)


def test_what_no_pull_put_there_is_not_published(export, fetch, target):
    folder = partial(export, target)
    folder.mkdir(parents=True)
    (folder / "strange").write_bytes(b"")
    with pytest.raises(PullBlocked, match="'strange', which is not in the export"):
        fetch()


def test_a_link_in_the_folder_is_not_written_through(export, fetch, target, tmp_path):
    folder = partial(export, target)
    folder.mkdir(parents=True)
    (folder / BIG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PullBlocked, match="symbolic link"):
        fetch()
    assert not (tmp_path / "elsewhere").exists()


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(export, fetch, monkeypatch):
    monkeypatch.setattr(staging, "SPARE_BYTES", 2**62)
    with pytest.raises(PullBlocked, match="bytes are still to come"):
        fetch()
    assert export.file_requests() == []


def test_a_disk_that_runs_full_is_an_error_and_the_part_is_kept(export, fetch, target, monkeypatch):
    def full(self, chunk):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(staging.Gathered, "add", full)
    with pytest.raises(PullBlocked, match="No space left on device"):
        fetch()
    assert not target.exists()
    assert partial(export, target).is_dir()


def test_a_killed_pull_leaves_no_target_and_the_next_one_goes_on(export, fetch, target):
    export.files = {"model.safetensors": os.urandom(16 * 1_048_576)}
    stall = Stall(after=15 * 1_048_576)
    export.stalls = [stall]
    command = [sys.executable, "-c", "from tallystick.cli import main; main()", "pull", export.url, str(target)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT / "ledger")}, stderr=subprocess.PIPE)
    try:
        assert stall.reached.wait(60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        stall.released.set()
    came = (partial(export, target) / "model.safetensors").stat().st_size
    assert 0 < came < 16 * 1_048_576
    assert not target.exists()
    pulled = fetch()
    assert held(target) == export.files
    assert pulled.received == 16 * 1_048_576 - came
    assert ranges(export) == [None, f"bytes={came}-"]
