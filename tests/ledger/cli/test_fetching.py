import json
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Thread

import pytest

from tallystick.ids import format_record_id
from tallystick.record import Response
from tallystick.tasks import chat_output
from tests.support.synthetic_log import SyntheticLog
from tests.support.synthetic_server import served

LETTERS = "".join(chr(code) for code in range(0x4E00, 0x5E00))


@pytest.fixture(scope="module")
def large():
    """A log whose second record keeps its answer outside."""
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(1)
    answer = "".join(Random(7).choices(LETTERS, k=120_000))
    log.append([replace(log.request(), response=Response(outputs=(chat_output(answer, "stop"),)))])
    return log


@contextmanager
def service(blobs):
    """What a service gives under its addresses of blobs; each question is kept."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = blobs.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def addresses(log):
    record_id = format_record_id(log.records[1].id)
    return {
        f"/v1/records/{record_id}/blobs/0x{blob.ref.sealed_digest.hex()}": blob.ciphertext
        for blob in log.sealed[1].blobs
    }


@pytest.fixture
def evidence(large, tmp_path):
    path = tmp_path / "evidence.json"
    path.write_bytes(large.bundle(1).to_bytes())
    return path


@pytest.fixture
def known(large):
    return ["--writer", "0x" + large.writer.address.hex()]


def test_blobs_are_fetched_beside_the_bundle_and_the_bundle_is_then_proven(run, large, evidence, known):
    assert run("verify", evidence, *known).exit_code == 2
    with service(addresses(large)) as (url, asked):
        result = run("fetch", evidence, "--service", url)
        assert result.exit_code == 0
        assert "1 blobs in" in result.stdout
        assert run("verify", evidence, *known).exit_code == 0
        again = json.loads(run("fetch", evidence, "--service", url, "--json").stdout)
    assert (again[0]["there"], again[0]["received_bytes"]) == (1, 0)
    assert asked == list(addresses(large))


def test_an_auditor_fetches_by_index_and_the_log_is_then_proven(run, large, node, key_file, tmp_path):
    with served(large.node()) as rpc, service(addresses(large)) as (url, _):
        names = ["--rpc", rpc, *node[2:], "--auditor-key", key_file]
        blobs = ["--blobs", tmp_path / "kept"]
        assert run("verify", *names).exit_code == 2
        assert run("fetch", 0, 1, "--service", url, *blobs, *names).exit_code == 0
        assert run("verify", *names, *blobs).exit_code == 0
        assert "--blobs says where" in run("fetch", 1, "--service", url, *names).stderr


def test_a_blob_that_is_another_is_not_kept(run, large, evidence):
    with service(dict.fromkeys(addresses(large), b"something else")) as (url, _):
        result = run("fetch", evidence, "--service", url)
    assert result.exit_code == 2
    assert "another blob than was asked for" in result.stderr
    assert not list(evidence.parent.glob("blobs/*"))


def test_a_blob_that_the_service_does_not_give_ends_with_2(run, evidence):
    with service({}) as (url, _):
        result = run("fetch", evidence, "--service", url)
    assert result.exit_code == 2
    assert "HTTP 404" in result.stderr


def test_a_service_that_is_not_there_ends_with_2(run, evidence):
    assert run("fetch", evidence, "--service", "http://127.0.0.1:9").exit_code == 2


def test_a_damaged_file_is_fetched_anew(run, large, evidence, known):
    digest = large.sealed[1].blobs[0].ref.sealed_digest
    folder = evidence.parent / "blobs"
    folder.mkdir()
    (folder / digest.hex()).write_bytes(b"damaged")
    assert run("verify", evidence, *known).exit_code == 2
    with service(addresses(large)) as (url, _):
        assert run("fetch", evidence, "--service", url).exit_code == 0
    assert run("verify", evidence, *known).exit_code == 0


def test_a_record_that_keeps_nothing_outside_needs_nothing(run, large, tmp_path):
    path = tmp_path / "small.json"
    path.write_bytes(large.bundle(0).to_bytes())
    result = run("fetch", path, "--service", "http://127.0.0.1:9")
    assert (result.exit_code, "nothing to fetch" in result.stdout) == (0, True)


def test_a_bundle_without_its_secret_tells_no_digest(run, large, tmp_path):
    path = tmp_path / "closed.json"
    path.write_bytes(large.bundle(1, secret=False).to_bytes())
    assert "no record secret" in run("fetch", path, "--service", "http://127.0.0.1:9").stderr
