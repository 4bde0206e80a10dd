"""Exports over HTTP: who sees them, what is handed out, and that the record says how much was."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import socket
import tarfile
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn

from tallystick.ids import format_record_id, to_hex
from tallystick.manifest import hash_folder
from tallystick.record import State
from tallystick.tasks import disagreements, read
from tallystick_platform.app.http_protocol import ApiProtocol
from tallystick_platform.jobs import downloads as module
from tallystick_platform.jobs.downloads import Downloads
from tallystick_platform.jobs.published import CHUNK_BYTES
from tallystick_platform.store.jobs import JobState
from tests.support import api as api_module
from tests.support.api import AUTH, OTHER_TOKEN, Api, from_header
from tests.support.exchange import SENDER, unavailable
from tests.support.export_jobs import FACTS, LIMIT_S, Exports, exports_at, said
from tests.support.fake_exporter import NAMES

OTHERS = {"authorization": f"Bearer {OTHER_TOKEN}"}
ASK = {"format": "gguf", "quantization": "Q8_0"}
LARGE_BYTES = 6 * CHUNK_BYTES


class Served:
    """The API over a rig of exports; both write to one journal."""

    def __init__(self, exports: Exports, limit_s: float = 60) -> None:
        self.exports = exports
        self.downloads = Downloads(
            exchange=exports.bench.exchange,
            facts=FACTS,
            clock=exports.bench.clock,
            limit_s=limit_s,
        )
        self.api = Api(exporting=exports.jobs)
        self.api.services = self.changed()
        self.api.app = api_module.create_api(self.api.services)
        self.client = self.api.client

    def changed(self, **changes: object) -> object:
        bench = self.exports.bench
        given = {"exports": self.exports.jobs, "downloads": self.downloads, "exchange": bench.exchange}
        return replace(self.api.services, **(given | changes))

    @property
    def records(self) -> list[object]:
        return self.exports.bench.journal.records

    async def finished(self) -> dict[str, object]:
        job = await self.exports.finished()
        self.records.clear()
        self.exports.bench.journal.entries.clear()
        async with self.client() as client:
            return (await client.get(f"/v1/exports/{job.id}")).json()


@contextlib.asynccontextmanager
async def served(home: Path, limit_s: float = 60, **options: object):
    async with exports_at(home, **options) as exports:
        each = Served(exports, limit_s)
        try:
            yield each
        finally:
            each.downloads.close()


async def test_an_export_is_taken_with_a_promise_and_ends_with_its_files(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as client:
        taken = await client.post("/v1/models/acme/tiny/exports", json=ASK)
        export = taken.json()
        assert taken.status_code == 202
        assert taken.headers["location"] == f"/v1/exports/{export['id']}"
        assert taken.headers["x-tallystick-record"] == export["record"]
        promise = from_header(taken.headers["x-tallystick-admission"])
        proof = export["tallystick"]
        assert (proof["record_id"], proof["admission"]) == (export["record"], promise)
        assert proof["receipt"] == from_header(taken.headers["x-tallystick-receipt"])
        assert proof["request_salt"] == taken.headers["x-tallystick-request-salt"]
        assert (export["ended_by"], export["due_by_us"]) == (None, export["created_at_us"] + LIMIT_S * 1_000_000)
        assert (export["state"], export["format"], export["quantization"]) == ("queued", "gguf", "Q8_0")
        job = await server.exports.ended(await server.exports.jobs.find(SENDER, export["id"]))
        found = (await client.get(taken.headers["location"])).json()
        assert (found["state"], found["progress"], found["error"]) == ("finished", 1.0, None)
        assert [file["name"] for file in found["files"]] == [*sorted(NAMES), "model.sig"]
        assert found["manifest_digest"] == to_hex(hash_folder(tmp_path / "exports" / job.id).digest)
        listed = (await client.get("/v1/exports")).json()
        short = {name: value for name, value in found.items() if name not in {"files", "parity"}}
        assert (listed["data"], listed["has_more"]) == ([short], False)
        taken_by, ended_by = server.records
        assert (taken_by.request.target, taken_by.http.path) == ("/v1/models/acme/tiny/exports",) * 2
        assert (found["record"], found["ended_by"]) == tuple(format_record_id(one.id) for one in server.records)
        assert ended_by.follows == taken_by.id


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_type"),
        (b"{}", "missing_required_parameter"),
        (b'{"format":"pickle"}', "invalid_value"),
        (b'{"format":7}', "invalid_type"),
        (b'{"format":"onnx","quantization":"../x"}', "invalid_value"),
        (b'{"format":"onnx","quantization":"Q8_0"}', "invalid_value"),
        (b'{"format":"gguf","quantization":"Q4_K"}', "invalid_value"),
        (b'{"format":"safetensors","quantization":"int8"}', "invalid_value"),
        (b'{"format":"onnx","quantization":"' + b"x" * 33 + b'"}', "invalid_value"),
        (b'{"format":"onnx","target":"/etc"}', "unknown_parameter"),
        (b'{"format":"onnx","format":"gguf"}', "duplicate_key"),
        (b" " * 5_000, "body_too_large"),
    ],
)
async def test_a_malformed_export_request_is_refused_by_name(tmp_path: Path, body: bytes, code: str) -> None:
    async with served(tmp_path) as server, server.client() as client:
        reply = await client.post("/v1/models/acme/tiny/exports", content=body)
        assert (reply.status_code in {400, 413}, reply.json()["error"]["code"]) == (True, code)
        assert server.exports.bench.journal.admitted == 0


async def test_an_unknown_model_is_not_exported(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as client:
        reply = await client.post("/v1/models/acme/other/exports", json=ASK)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_disk_without_room_is_said_with_figures(tmp_path: Path) -> None:
    async with served(tmp_path, free_bytes=0) as server, server.client() as client:
        reply = await client.post("/v1/models/acme/tiny/exports", json=ASK)
    assert (reply.status_code, reply.json()["error"]["code"]) == (507, "no_space")
    assert "2500 bytes" in reply.json()["error"]["message"]


async def test_somebody_elses_export_does_not_exist(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        export = await server.finished()
        async with server.client(**OTHERS) as client:
            paths = ["", "/files/config.json", "/files/none", "/archive.tar"]
            replies = [await client.get(f"/v1/exports/{export['id']}{path}") for path in paths]
            replies.append(await client.delete(f"/v1/exports/{export['id']}"))
            listed = (await client.get("/v1/exports")).json()["data"]
        assert {(reply.status_code, reply.json()["error"]["code"]) for reply in replies} == {(404, "export_not_found")}
        assert listed == []
        assert server.exports.store.ids() == {export["id"]}


async def test_a_cancelled_export_is_cancelled_and_a_finished_one_removed(tmp_path: Path) -> None:
    async with served(tmp_path, behaviour="hold") as server, server.client() as client:
        path = (await client.post("/v1/models/acme/tiny/exports", json=ASK)).headers["location"]
        refused = await client.get(path + "/files/config.json")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "export_not_finished")
        assert (await client.get(path + "/archive.tar")).status_code == 409
        reply = await client.delete(path)
        assert (reply.status_code, reply.json()["state"]) == (200, "cancelled")
        assert (await client.get(path)).json()["error"]["code"] == "cancelled"
        assert (await client.delete(path)).status_code == 200
        assert (await client.get(path)).status_code == 404


async def test_a_file_is_handed_out_whole_and_recorded(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as client:
        export = await server.finished()
        data = (tmp_path / "exports" / export["id"] / "onnx/model.onnx").read_bytes()
        reply = await client.get(f"/v1/exports/{export['id']}/files/onnx/model.onnx")
        record = server.exports.bench.journal.only
    digest = hashlib.sha256(data)
    assert (reply.status_code, reply.content) == (200, data)
    assert reply.headers["etag"] == f'"{digest.hexdigest()}"'
    shown = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert reply.headers["repr-digest"] == reply.headers["content-digest"] == shown
    assert (reply.headers["accept-ranges"], reply.headers["content-length"]) == ("bytes", str(len(data)))
    assert reply.headers["content-disposition"] == "attachment; filename*=UTF-8''model.onnx"
    assert reply.headers["x-tallystick-record"] == format_record_id(record.id)
    assert from_header(reply.headers["x-tallystick-admission"])["admission"]["admission_seq"] == record.admission_seq
    assert reply.headers["x-tallystick-request-salt"] == to_hex(record.request.salt)
    assert (record.task, record.state, record.http.method, record.http.streamed) == (
        "download",
        State.COMPLETED,
        "GET",
        True,
    )
    assert said(record) == {
        "bytes": len(data),
        "manifest_digest": export["manifest_digest"],
        "sha256": digest.hexdigest(),
    }
    assert record.parameters == {"export": export["id"], "file": "onnx/model.onnx", "range": None}
    assert record.model.weights_digest.hex() == export["source_digest"].removeprefix("0x")
    assert (record.price.device_time_us, record.price.charge_micros, record.gpu) == (0, 0, None)


async def test_a_part_of_a_file_is_handed_out_and_recorded_as_one(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as client:
        export = await server.finished()
        path = f"/v1/exports/{export['id']}/files/config.json"
        data = (tmp_path / "exports" / export["id"] / "config.json").read_bytes()
        etag = (await client.head(path)).headers["etag"]
        reply = await client.get(path, headers={"range": "bytes=10-", "if-range": etag})
        record = server.exports.bench.journal.only
        whole = await client.get(path, headers={"range": "bytes=10-", "if-range": '"other"'})
    assert (reply.status_code, reply.content) == (206, data[10:])
    assert reply.headers["content-range"] == f"bytes 10-{len(data) - 1}/{len(data)}"
    assert "content-digest" not in reply.headers
    assert record.parameters["range"] == reply.headers["content-range"]
    assert said(record)["bytes"] == len(data) - 10
    assert (whole.status_code, whole.content) == (200, data)


async def test_what_sends_nothing_leaves_no_record(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as client:
        export = await server.finished()
        path = f"/v1/exports/{export['id']}/files/config.json"
        head = await client.head(path, headers={"range": "bytes=1-2"})
        known = await client.get(path, headers={"if-none-match": head.headers["etag"]})
        other = await client.get(path, headers={"if-match": '"x"'})
        outside = await client.get(path, headers={"range": "bytes=99999-"})
        several = await client.get(path, headers={"range": "bytes=0-1,3-4"})
        assert server.exports.bench.journal.admitted == 2  # the export itself
    size = next(file["size"] for file in export["files"] if file["name"] == "config.json")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", head.headers["etag"])
    assert (other.status_code, other.json()["error"]["code"]) == (412, "other_content")
    for reply in (outside, several):
        assert (reply.status_code, reply.headers["content-range"]) == (416, f"bytes */{size}")
        assert reply.json()["error"]["code"] == "range_not_satisfiable"


@pytest.mark.parametrize(
    "name",
    [
        "none",
        "..%2f..%2fjournal%2fjournal.sqlite",
        "%2fetc%2fpasswd",
        "onnx",
        "config.json%00",
        "CONFIG.JSON",
        "onnx//model.onnx%20",
        "x" * 3_000,
    ],
)
async def test_only_the_names_of_the_export_are_files(tmp_path: Path, name: str) -> None:
    async with served(tmp_path) as server, server.client() as client:
        export = await server.finished()
        reply = await client.get(f"/v1/exports/{export['id']}/files/{name}")
        assert (reply.status_code, server.records) == (404, [])


async def test_the_archive_holds_every_file_and_is_the_same_each_time(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as client:
        export = await server.finished()
        path = f"/v1/exports/{export['id']}/archive.tar"
        first, second = await client.get(path), await client.get(path, headers={"range": "bytes=5-"})
        known = await client.get(path, headers={"if-none-match": first.headers["etag"]})
        record = server.records[0]
    assert (first.status_code, second.status_code, known.status_code) == (200, 200, 304)
    assert first.content == second.content
    assert first.headers["content-length"] == str(len(first.content))
    assert (first.headers["accept-ranges"], first.headers["content-type"]) == ("none", "application/x-tar")
    with tarfile.open(fileobj=io.BytesIO(first.content)) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    folder = tmp_path / "out" / export["id"]
    assert to_hex(hash_folder(folder).digest) == export["manifest_digest"]
    assert (folder / "model.sig").read_bytes() == b"{}"
    assert said(record) == {
        "bytes": len(first.content),
        "manifest_digest": export["manifest_digest"],
        "sha256": None,
    }


async def test_an_auditor_reads_the_same_out_of_each_request_as_its_record_says(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as client:
        for body in (ASK, {"format": "safetensors"}, {"format": "onnx", "quantization": None}):
            asked = await client.post("/v1/models/acme%2Ftiny@3333/exports?x=1", json=body)
            assert asked.status_code == 202, asked.text
            await server.exports.ended(await server.exports.jobs.find(SENDER, asked.json()["id"]))
        path = asked.headers["location"]
        for part in ("/files/onnx/model.onnx", "/files/%63onfig.json?y", "/archive.tar"):
            assert (await client.get(path + part)).status_code == 200
        records = [record for record in server.records if record.request is not None]
    assert [record.task for record in records] == ["export"] * 3 + ["download"] * 3
    for record in records:
        request = record.request
        reading = read(request.reader, record.http.method, request.target, request.content_type, request.body)
        assert reading.asked
        assert disagreements(record, reading) == []


async def test_an_empty_file_is_handed_out(tmp_path: Path) -> None:
    async with served(tmp_path, behaviour="bytes=0") as server, server.client() as client:
        export = await server.finished()
        reply = await client.get(f"/v1/exports/{export['id']}/files/model.safetensors")
        assert (reply.status_code, reply.content) == (200, b"")
        assert said(server.exports.bench.journal.only)["bytes"] == 0


@pytest.mark.parametrize("fault", ["gone", "shorter", "longer", "link"])
async def test_a_file_that_is_not_what_was_published_is_not_handed_out(tmp_path: Path, fault: str) -> None:
    async with served(tmp_path) as server, server.client() as client:
        export = await server.finished()
        file = tmp_path / "exports" / export["id"] / "config.json"
        file.parent.chmod(0o755)
        data = file.read_bytes()
        file.unlink()
        if fault == "link":
            (tmp_path / "other").write_bytes(data)
            file.symlink_to(tmp_path / "other")
        elif fault != "gone":
            file.write_bytes(data[:-1] if fault == "shorter" else data + b"x")
        reply = await client.get(f"/v1/exports/{export['id']}/files/config.json")
        record = server.exports.bench.journal.only
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "file_changed")
    assert reply.json()["error"]["message"] == record.error.message
    assert reply.json()["tallystick"]["admission"] == from_header(reply.headers["x-tallystick-admission"])
    assert str(tmp_path) not in reply.text
    assert (record.state, record.error.code, record.response) == (State.FAILED, "file_changed", None)


async def test_downloads_are_bounded_for_each_sender_and_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DOWNLOADS", 3)
    monkeypatch.setattr(module, "MAX_DOWNLOADS_PER_SENDER", 2)
    async with served(tmp_path) as server, server.client() as client:
        export = await server.finished()
        path = f"/v1/exports/{export['id']}/files/config.json"
        with server.downloads.place(SENDER), server.downloads.place(b"\x01" * 20):
            assert (await client.get(path)).status_code == 200
            with server.downloads.place(SENDER):
                reply = await client.get(path)
        with (
            server.downloads.place(b"\x01" * 20),
            server.downloads.place(b"\x02" * 20),
            server.downloads.place(b"\x03" * 20),
        ):
            full = await client.get(path)
        assert (await client.get(path)).status_code == 200
    assert [(each.status_code, each.json()["error"]["code"]) for each in (reply, full)] == [(429, "overloaded")] * 2
    assert reply.headers["retry-after"]


async def test_an_unavailable_journal_hands_nothing_out(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as client:
        export = await server.finished()
        server.exports.bench.journal.admit_error = unavailable()
        reply = await client.get(f"/v1/exports/{export['id']}/files/config.json")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "journal_unavailable")


# -- over real connections


@contextlib.asynccontextmanager
async def listening(server: Served):
    """The same on a port, with the product's own protocol; gives the port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(server.api.app, http=ApiProtocol, lifespan="off", log_config=None, access_log=False)
    http = uvicorn.Server(config)
    http.install_signal_handlers = lambda: None
    running = asyncio.create_task(http.serve(sockets=[listener]))
    async with asyncio.timeout(5):
        while not http.started:
            await asyncio.sleep(0.001)
    try:
        yield listener.getsockname()[1]
    finally:
        http.should_exit = http.force_exit = True
        await running
        listener.close()


async def connected(port: int, path: str, *headers: str):
    """A connection whose receive buffer is small, with one request on it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=8_192)
    lines = [f"GET {path} HTTP/1.1", "host: test", f"authorization: {AUTH['authorization']}", *headers]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    return reader, writer, head


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def large(server: Served) -> tuple[str, bytes]:
    """The path of a large published file, and its bytes."""
    export = await server.finished()
    data = (server.exports.home / "exports" / export["id"] / "model.safetensors").read_bytes()
    return f"/v1/exports/{export['id']}/files/model.safetensors", data


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_download_that_breaks_off_is_recorded_as_far_as_it_came_and_goes_on_later(tmp_path: Path) -> None:
    async with served(tmp_path, behaviour=f"bytes={LARGE_BYTES * 4}") as server, listening(server) as port:
        path, data = await large(server)
        reader, writer, head = await connected(port, path)
        assert head.startswith("HTTP/1.1 200")
        got = await reader.readexactly(100_000)
        writer.transport.abort()
        await until(lambda: server.records)
        record = server.exports.bench.journal.only
        assert (record.state, record.error.code) == (State.CANCELLED, "client_disconnected")
        assert len(got) <= said(record)["bytes"] < len(data)
        etag = f'"{said(record)["sha256"]}"'
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=AUTH) as client:
            rest = await client.get(path, headers={"range": f"bytes={len(got)}-", "if-range": etag})
        assert rest.status_code == 206
        assert got + rest.content == data
        await until(lambda: len(server.records) == 2)
        assert said(server.records[1])["bytes"] == len(data) - len(got)
        assert server.exports.bench.gate.inside == 0


async def test_a_client_that_hardly_reads_is_sent_away_and_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALL_LIMIT_S", 0.3)
    async with served(tmp_path, behaviour=f"bytes={LARGE_BYTES * 4}") as server, listening(server) as port:
        path, data = await large(server)
        reader, writer, _ = await connected(port, path)
        for _ in range(3):
            await reader.readexactly(1)
            await asyncio.sleep(0.01)
        await until(lambda: server.records)
        record = server.exports.bench.journal.only
        assert (record.state, record.error.code) == (State.FAILED, "download_stalled")
        assert said(record)["bytes"] < len(data)
        rest = await reader.read(-1)  # what the kernel had taken, then the end
        assert 3 + len(rest) < len(data)
        await closed(writer)


async def test_a_download_that_outlasts_its_time_is_cut_off_and_recorded_as_far_as_it_came(tmp_path: Path) -> None:
    async with served(tmp_path, 0.3, behaviour=f"bytes={LARGE_BYTES * 4}") as server, listening(server) as port:
        path, data = await large(server)
        reader, writer, _ = await connected(port, path)
        await reader.readexactly(1_000)
        await until(lambda: server.records)
        record = server.exports.bench.journal.only
        assert (record.state, record.error.code) == (State.TIMED_OUT, "timed_out")
        assert said(record)["bytes"] < len(data)
        await closed(writer)


@pytest.mark.parametrize("name", ["../config.json", "%2e%2e/config.json", "onnx/../config.json", "./config.json"])
async def test_a_path_that_climbs_names_no_file(tmp_path: Path, name: str) -> None:
    async with served(tmp_path) as server, listening(server) as port:
        export = await server.finished()
        _, writer, head = await connected(port, f"/v1/exports/{export['id']}/files/{name}")
        assert head.startswith("HTTP/1.1 404")
        assert server.records == []
        await closed(writer)


async def test_two_downloads_at_once_are_both_whole(tmp_path: Path) -> None:
    async with served(tmp_path, behaviour=f"bytes={LARGE_BYTES}") as server, listening(server) as port:
        path, data = await large(server)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=AUTH) as client:
            replies = await asyncio.gather(client.get(path), client.get(path))
        assert all(reply.content == data for reply in replies)
        await until(lambda: len(server.records) == 2)
        assert {record.state for record in server.records} == {State.COMPLETED}


async def test_a_stopped_server_records_what_was_handed_over(tmp_path: Path) -> None:
    async with served(tmp_path, behaviour=f"bytes={LARGE_BYTES * 4}") as server, listening(server) as port:
        path, _ = await large(server)
        reader, writer, _ = await connected(port, path)
        await reader.readexactly(1_000)
        assert server.exports.bench.exchange.stop_all() == 1
        await until(lambda: server.records)
        assert server.exports.bench.journal.only.error.code == "server_stopped"
        await closed(writer)


async def test_a_removed_export_is_read_to_its_end_by_who_began(tmp_path: Path) -> None:
    async with served(tmp_path, behaviour=f"bytes={LARGE_BYTES * 4}") as server, listening(server) as port:
        path, data = await large(server)
        reader, writer, _ = await connected(port, path)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=AUTH) as client:
            assert (await client.delete(path.partition("/files")[0])).status_code == 200
        assert await reader.readexactly(len(data)) == data
        await closed(writer)
        assert server.exports.store.ids() == set()


async def test_a_record_that_cannot_be_stored_cuts_the_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as server, listening(server) as port:
        export = await server.finished()
        server.exports.bench.journal.commit_error = unavailable()
        reader, writer, _ = await connected(
            port, f"/v1/exports/{export['id']}/files/config.json", "connection: keep-alive"
        )
        with contextlib.suppress(ConnectionResetError):
            await reader.read(-1)
        assert reader.at_eof() or reader.exception() is not None
        await closed(writer)
        assert (await server.exports.jobs.find(SENDER, export["id"])).state is JobState.FINISHED
