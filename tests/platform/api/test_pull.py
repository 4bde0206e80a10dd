"""`tallystick pull` against the service itself, over a real connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.errors import PullRefused
from tallystick.ids import format_record_id
from tallystick.manifest import SIGNATURE_NAME, hash_folder
from tallystick.pull import Pulled, Server, pull
from tallystick.verify.file_lists import exported_files
from tallystick_platform.api import create_api
from tallystick_platform.jobs.downloads import Downloads
from tests.support.api import AUTH, OTHER_TOKEN, Api
from tests.support.export_jobs import FACTS, Exports, exports_at
from tests.support.fake_exporter import NAMES
from tests.support.plain_side import served

TOKEN = AUTH["authorization"].removeprefix("Bearer ")


def never(pause_s: float) -> None:
    raise AssertionError("nothing is to be waited for")


def fetch(port: int, export_id: str, target: Path, token: str) -> Pulled:
    server = Server(f"http://127.0.0.1:{port}/v1/exports/{export_id}", token)
    try:
        return pull(server, target, sleep=never)
    finally:
        server.close()


async def pulled(exports: Exports, target: Path, token: str = TOKEN) -> Pulled:
    """Publish an export, and fetch it from another thread over a port."""
    job = await exports.finished()
    bench = exports.bench
    downloads = Downloads(exchange=bench.exchange, facts=FACTS, clock=bench.clock, limit_s=60)
    api = Api(exporting=exports.jobs)
    services = replace(api.services, exports=exports.jobs, downloads=downloads, exchange=bench.exchange)
    try:
        async with served(create_api(services)) as port:
            return await asyncio.to_thread(fetch, port, job.id, target, token)
    finally:
        downloads.close()


async def test_a_published_export_is_pulled_whole_and_each_file_is_a_record(tmp_path: Path) -> None:
    target = tmp_path / "pulled"
    async with exports_at(tmp_path / "home") as exports:
        found = await pulled(exports, target)
        _, made, *fetched = exports.bench.journal.records
    names = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert names == sorted((*NAMES, SIGNATURE_NAME))
    assert found.export_record == format_record_id(made.id)
    assert found.records == tuple(format_record_id(record.id) for record in fetched)
    assert sorted(str(record.parameters["file"]) for record in fetched) == names


async def test_the_record_of_the_export_names_what_lies_on_disk(tmp_path: Path) -> None:
    target = tmp_path / "pulled"
    async with exports_at(tmp_path / "home") as exports:
        await pulled(exports, target)
        _, made, fetched, *_ = exports.bench.journal.records
    manifest = hash_folder(target)
    digest, listed = exported_files(made.response.outputs[0].content)
    assert digest == manifest.digest == listed.digest
    assert dict(listed.files) == {entry.name: entry.sha256 for entry in manifest.files}
    assert exported_files(fetched.response.outputs[0].content) == (manifest.digest, None)


async def test_somebody_elses_export_is_not_there(tmp_path: Path) -> None:
    async with exports_at(tmp_path / "home") as exports:
        with pytest.raises(PullRefused, match="HTTP 404: there is no such export or model, or it is somebody else's"):
            await pulled(exports, tmp_path / "pulled", OTHER_TOKEN)
    assert not (tmp_path / "pulled").exists()
