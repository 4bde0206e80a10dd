"""A folder to a server over real connections, in parts, interrupted and gone on with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tallystick.keys import write_secret_file
from tallystick_platform.api import uploads as api_uploads
from tallystick_platform.cli import main
from tallystick_platform.cli.uploading import ATTEMPTS, Destination, UploadFailed
from tallystick_platform.registry import upload_entries, uploads
from tests.support.api import TOKEN, Api
from tests.support.exchange import PRINCIPAL
from tests.support.registries import FILES, Shelf, write

BIG = FILES | {"model.safetensors": bytes(range(100)), "a folder/näme.txt": b"x"}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (upload_entries, uploads, api_uploads):
        monkeypatch.setattr(place, "PART_BYTES", 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny", BIG)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    write_secret_file(tmp_path / "token", TOKEN)
    return tmp_path / "token"


def run(folder: Path, token_file: Path, url: str) -> Result:
    arguments = ["model", "upload", str(folder), "--to", url, "--token-file", str(token_file)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


async def test_a_folder_arrives_as_a_version_of_the_tokens_owner(
    tmp_path: Path, folder: Path, token_file: Path
) -> None:
    shelf = Shelf(tmp_path / "home")
    async with Api(models=shelf.desk()).serving() as url:  # type: ignore[attr-defined]
        ran = await asyncio.to_thread(run, folder, token_file, url)
    assert ran.exit_code == 0, ran.output
    version = shelf.registry.find("tiny", PRINCIPAL.address)
    assert version.reference in ran.stdout.splitlines()
    stored = shelf.registry.path(version)
    assert (stored / "a folder" / "näme.txt").read_bytes() == b"x"
    assert (version.model.owner, version.size_bytes) == (PRINCIPAL.address, sum(map(len, BIG.values())))


async def test_an_interrupted_upload_goes_on_where_it_stopped(
    tmp_path: Path, folder: Path, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, sent = Shelf(tmp_path / "home"), list[str]()
    ask = Destination.ask

    def counted(self: Destination, method: str, path: str, *arguments: object, **options: object) -> object:
        if method == "PUT":
            sent.append(path)
            if 4 < len(sent) <= 4 + ATTEMPTS:
                raise UploadFailed(reason="the connection was cut")
        return ask(self, method, path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Destination, "ask", counted)
    async with Api(models=shelf.desk()).serving() as url:  # type: ignore[attr-defined]
        first = await asyncio.to_thread(run, folder, token_file, url)
        assert first.exit_code == 2
        assert "run it again to go on from here" in first.stderr
        sent.clear()
        sent.extend(["before"] * (4 + ATTEMPTS))
        second = await asyncio.to_thread(run, folder, token_file, url)
    assert second.exit_code == 0, second.output
    assert len(sent) - 4 - ATTEMPTS == sum(-(-len(data) // 8) for data in BIG.values()) - 4


async def test_what_the_server_refuses_is_told_in_its_words(tmp_path: Path, folder: Path, token_file: Path) -> None:
    shelf = Shelf(tmp_path / "home", quota_bytes=1)
    async with Api(models=shelf.desk()).serving() as url:  # type: ignore[attr-defined]
        ran = await asyncio.to_thread(run, folder, token_file, url)
    assert (ran.exit_code, ran.stderr) == (
        2,
        "error: the server answered 409: bytes that one owner may store: at most 1\n",
    )


def test_a_server_that_is_not_there_is_said(folder: Path, token_file: Path) -> None:
    for url, reason in (("http://127.0.0.1:9", "127.0.0.1:9"), ("file:///x", "no http:// or https:// URL")):
        ran = run(folder, token_file, url)
        assert ran.exit_code == 2
        assert reason in ran.stderr


def test_a_token_that_others_can_read_is_not_used(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "loose").write_text(TOKEN)
    (tmp_path / "loose").chmod(0o644)
    assert run(folder, tmp_path / "loose", "http://127.0.0.1:9").exit_code == 2
