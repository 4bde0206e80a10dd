"""A version's own files over HTTP: listed, handed out, recorded, and pulled so that they are the ones that answered."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.errors import PullRefused
from tallystick.ids import to_hex
from tallystick.manifest import SIGNATURE_NAME, hash_folder
from tallystick.pull import Pulled, Server, pull
from tallystick.record import State
from tallystick.tasks import disagreements, read
from tallystick_platform.api import create_api
from tallystick_platform.formats.report import Facts
from tallystick_platform.jobs.downloads import Downloads
from tallystick_platform.registry.entries import Stage, Visibility
from tests.support.api import AUTH, OTHER, OTHER_TOKEN, Api
from tests.support.export_jobs import FACTS, exports_at
from tests.support.exports import write_signing_key
from tests.support.model_files import sign_folder
from tests.support.plain_side import served
from tests.support.registries import FILES, Shelf, write

OTHERS = {"authorization": f"Bearer {OTHER_TOKEN}"}
TOKEN = AUTH["authorization"].removeprefix("Bearer ")
NAME = "model.safetensors"
UPSTREAM = Facts(
    format="upstream",
    task="chat",
    architecture=None,
    licence=None,
    dtype=None,
    parameters=None,
    context_length=None,
    size_bytes=2,
)


class Side:
    """The API over a registry with one public model, and a journal on fakes."""

    def __init__(self, shelf: Shelf, bench: object, downloads: Downloads) -> None:
        self.shelf = shelf
        self.records = bench.journal.records
        api = Api(models=shelf.desk())
        self.api = api
        api.services = replace(api.services, downloads=downloads, exchange=bench.exchange)
        api.app = create_api(api.services)
        self.client = api.client


@contextlib.asynccontextmanager
async def side_at(home: Path):
    async with exports_at(home / "jobs") as exports:
        bench = exports.bench
        downloads = Downloads(exchange=bench.exchange, facts=FACTS, clock=bench.clock, limit_s=60)
        try:
            yield Side(Shelf(home / "models"), bench, downloads)
        finally:
            downloads.close()


async def test_the_files_of_a_version_are_listed_under_its_own_digest(tmp_path: Path) -> None:
    async with side_at(tmp_path) as side, side.client() as client:
        version = side.shelf.add(stage=Stage.PRODUCTION)
        found = (await client.get("/v1/models/Acme/Tiny/files")).json()
        assert not side.records
    assert (found["object"], found["reference"]) == ("model.files", version.reference)
    assert found["manifest_digest"] == to_hex(version.digest)
    assert {one["name"]: one["sha256"] for one in found["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()
    }


async def test_a_file_is_handed_out_whole_and_in_part_and_its_record_says_so(tmp_path: Path) -> None:
    async with side_at(tmp_path) as side, side.client() as client:
        version = side.shelf.add(stage=Stage.PRODUCTION)
        path = f"/v1/models/{version.reference}/files/{NAME}"
        etag = f'"{hashlib.sha256(FILES[NAME]).hexdigest()}"'
        head = await client.head(path)
        whole = await client.get(path)
        part = await client.get(path, headers={"range": "bytes=1-", "if-range": etag})
        other = await client.get("/v1/models/Acme/Tiny/files/nothing.json")
    assert (head.status_code, whole.status_code, part.status_code, other.status_code) == (200, 200, 206, 404)
    assert (head.headers["etag"], whole.content, part.content) == (etag, FILES[NAME], FILES[NAME][1:])
    first, second = side.records
    assert (first.task, first.state, first.model.weights_digest) == ("download", State.COMPLETED, version.digest)
    assert second.parameters["range"] == f"bytes 1-{len(FILES[NAME]) - 1}/{len(FILES[NAME])}"
    for record in (first, second):
        request = record.request
        asked = read(request.reader, record.http.method, request.target, request.content_type, request.body)
        assert disagreements(record, asked) == []
        assert record.response.outputs[0].content["manifest_digest"] == to_hex(version.digest)


async def test_what_a_caller_may_not_see_has_no_files(tmp_path: Path) -> None:
    async with side_at(tmp_path) as side, side.client() as client:
        side.shelf.add("Acme/Secret", owner=OTHER.address, visibility=Visibility.PRIVATE)
        side.shelf.add("Acme/Tried", owner=OTHER.address)
        found = []
        for model in ("Acme/Secret", "Acme/Tried"):
            for below in ("files", f"files/{NAME}"):
                mine = await client.get(f"/v1/models/{model}/{below}", headers=AUTH)
                theirs = await client.get(f"/v1/models/{model}/{below}", headers=OTHERS)
                found.append((mine.status_code, theirs.status_code))
    assert found == [(404, 200)] * 4


async def test_a_retired_version_can_still_be_fetched_to_replay_what_it_answered(tmp_path: Path) -> None:
    async with side_at(tmp_path) as side, side.client() as client:
        version = side.shelf.add(stage=Stage.RETIRED)
        assert (await client.get(f"/v1/models/{version.reference}/files/{NAME}")).content == FILES[NAME]


async def test_another_providers_model_has_no_files_here(tmp_path: Path) -> None:
    async with side_at(tmp_path) as side, side.client() as client:
        side.shelf.add(stage=Stage.PRODUCTION, files={"upstream.json": b"{}"}, facts=UPSTREAM)
        reply = await client.get("/v1/models/Acme/Tiny/files/upstream.json")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "file_not_found")
    assert "another provider" in reply.json()["error"]["message"]


async def test_a_version_whose_list_is_lost_is_listed_anew(tmp_path: Path) -> None:
    async with side_at(tmp_path) as side, side.client() as client:
        version = side.shelf.add(stage=Stage.PRODUCTION)
        side.shelf.folders.path(version.digest).with_suffix(".json").unlink()
        reply = await client.get("/v1/models/Acme/Tiny/files")
        assert reply.json()["manifest_digest"] == to_hex(version.digest)


@pytest.mark.parametrize("signed", [False, True])
async def test_a_pull_of_the_original_is_the_version_that_answered(tmp_path: Path, *, signed: bool) -> None:
    target = tmp_path / "pulled"
    async with side_at(tmp_path) as side:
        files = FILES | ({SIGNATURE_NAME: signature(tmp_path)} if signed else {})
        version = side.shelf.add(stage=Stage.PRODUCTION, files=files)
        async with served(side.api.app) as port:
            found = await asyncio.to_thread(fetch, port, version.reference, target, TOKEN)
    assert found.digest == version.digest == hash_folder(target).digest
    assert (target / SIGNATURE_NAME).is_file() is signed
    assert (found.export_record, len(found.records)) == (None, len(files))


async def test_a_pull_of_what_nobody_may_see_is_refused(tmp_path: Path) -> None:
    async with side_at(tmp_path) as side:
        side.shelf.add("Acme/Tried", owner=OTHER.address)
        async with served(side.api.app) as port:
            with pytest.raises(PullRefused, match="HTTP 404"):
                await asyncio.to_thread(fetch, port, "Acme/Tried", tmp_path / "pulled", TOKEN)


def signature(tmp_path: Path) -> bytes:
    private, _ = write_signing_key(tmp_path)
    return sign_folder(write(tmp_path / "signed", FILES), private).read_bytes()


def fetch(port: int, model: str, target: Path, token: str) -> Pulled:
    server = Server(f"http://127.0.0.1:{port}/v1/models/{model}/files", token)
    try:
        return pull(server, target)
    finally:
        server.close()
