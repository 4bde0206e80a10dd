"""Registered models through the whole service: real registry, real estimate, real torch workers, tiny weights."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tallystick.bundle.reading import parse_bundle
from tallystick.sealing import open_sealed
from tallystick_platform.api import create_api
from tallystick_platform.app.service import Service
from tallystick_platform.app.starting import started
from tallystick_platform.registry.entries import Stage, Visibility
from tallystick_platform.registry.intake import Arrival
from tallystick_platform.registry.sources import Adapter, LocalFolder, register
from tallystick_platform.settings import Settings
from tests.support.tiny_causal import write_tiny_adapter, write_tiny_causal
from tests.support.tiny_model import write_tiny_model

pytestmark = [pytest.mark.xdist_group("system")]

BASE_URL = "http://127.0.0.1:8000"


def question(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, "temperature": 0}


@asynccontextmanager
async def serving(home: Path, **changes: object):
    settings = Settings(home=home, model="constant", chain_port=0, batch_max_age_ms=50, **changes)
    async with started(settings, base_url=BASE_URL) as running:
        service = Service(running)
        token = httpx.Response(200, content=running.client_file.read_bytes()).json()["token"]
        transport = httpx.ASGITransport(create_api(service.services))
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers, timeout=120) as client:
            yield running, client
        await service.drain()
        service.close()


def add(running, source, model: str, *, stage: Stage = Stage.PRODUCTION, owner=None):
    arrival = Arrival(model=model, owner=owner, visibility=Visibility.PUBLIC, stage=stage)
    return register(running.registry, source, arrival)


async def recorded(running, client, answer: httpx.Response):
    """The record of an answer, opened from its own evidence."""
    proof = answer.json()["tallystick"]
    async with asyncio.timeout(30):
        while (await client.get(f"/v1/records/{proof['record_id']}")).json()["state"] not in {"anchored", "final"}:
            await asyncio.sleep(0.05)
    bundle = parse_bundle((await client.get(f"/v1/records/{proof['record_id']}/proof")).content)
    evidence = bundle.evidence
    return open_sealed(
        evidence.sealed,
        log_id=evidence.log_id,
        index=evidence.index,
        fields_root=evidence.fields_root,
        epoch=evidence.epoch,
        secret=bundle.record_secret,
    ).record


async def test_versions_and_adapters_answer_side_by_side_and_each_record_names_its_own_files(tmp_path: Path) -> None:
    base = write_tiny_causal(tmp_path / "base")
    adapter = write_tiny_adapter(tmp_path / "adapter", base)
    async with serving(tmp_path / "home") as (running, client):
        old = add(running, LocalFolder(path=write_tiny_model(tmp_path / "old", seed=1)), "Acme/Tiny")
        new = add(running, LocalFolder(path=write_tiny_model(tmp_path / "new", seed=2)), "Acme/Tiny")
        whole = add(running, LocalFolder(path=base), "Acme/Base")
        adapted = add(running, Adapter(path=adapter, base=whole.reference), "Acme/Adapted")
        asked = [old.reference, "Acme/Tiny", "Acme/Adapted"]
        answers = [await client.post("/v1/chat/completions", json=question(model)) for model in asked]
        assert [answer.status_code for answer in answers] == [200, 200, 200], [answer.text for answer in answers]
        assert [answer.json()["model"] for answer in answers] == asked
        records = [await recorded(running, client, answer) for answer in answers]
        assert [record.model.weights_digest for record in records] == [old.digest, new.digest, adapted.digest]
        assert [record.model.id for record in records] == ["Acme/Tiny", "Acme/Tiny", "Acme/Adapted"]
        assert [record.model.engine for record in records] == ["tallystick-audit"] * 2 + ["tallystick-causal"]
        assert len(running.dispatcher.loaded()) == 3
        assert "tallystick_models_loaded 3.0" in (await client.get("/metrics")).text


async def test_changed_files_never_answer(tmp_path: Path) -> None:
    async with serving(tmp_path / "home") as (running, client):
        version = add(running, LocalFolder(path=write_tiny_model(tmp_path / "tiny")), "Acme/Tiny")
        config = running.registry.path(version) / "generation_config.json"
        config.parent.chmod(0o755)
        config.write_text('{"eos_token_id": 1}')
        answer = await client.post("/v1/chat/completions", json=question("Acme/Tiny"))
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert error["code"] == "model_load_failed"
        assert version.digest.hex() in error["message"]
        assert str(tmp_path) not in error["message"]
        assert running.journal.counts().size == 0


async def test_what_does_not_fit_is_refused_with_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path / "home") as (running, client):
        add(running, LocalFolder(path=write_tiny_model(tmp_path / "tiny")), "Acme/Tiny")
        monkeypatch.setattr(running.dispatcher._fleet, "available", lambda: 1_048_576)
        answer = await client.post("/v1/chat/completions", json=question("Acme/Tiny"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model_too_large")
        assert "and 1 MiB (1048576 bytes) can be had" in answer.json()["error"]["message"]


async def test_an_owner_and_the_operator_load_and_unload_and_nobody_else(tmp_path: Path) -> None:
    async with serving(tmp_path / "home") as (running, client):
        (token,) = running.tokens.tokens()
        mine = add(running, LocalFolder(path=write_tiny_model(tmp_path / "a", seed=1)), "me/mine", owner=token.address)
        add(running, LocalFolder(path=write_tiny_model(tmp_path / "b", seed=2)), "theirs")
        loaded = await client.post("/v1/models/me/mine/load")
        assert loaded.status_code == 200, loaded.text
        assert loaded.json() | {"memory_bytes": 0} == {
            "object": "model.load",
            "id": "me/mine",
            "version": mine.version,
            "loaded": True,
            "pinned": False,
            "memory_bytes": 0,
        }
        assert loaded.json()["memory_bytes"] > 0
        refused = await client.delete("/v1/models/me/mine")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model_in_use")
        secret = LocalFolder(path=write_tiny_model(tmp_path / "c", seed=3))
        register(running.registry, secret, Arrival(model="hidden", owner=None, visibility=Visibility.PRIVATE))
        for action in ("load", "unload"):
            known = await client.post(f"/v1/models/theirs/{action}")
            assert (known.status_code, known.json()["error"]["code"]) == (403, "not_the_owner")
            assert "its owner and the operator alone" in known.json()["error"]["message"]
            unknown = await client.post(f"/v1/models/hidden/{action}")
            assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
        claim = await running.dispatcher.claim("me/mine", token.address, "chat")
        busy = await client.post("/v1/models/me/mine/unload")
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "model_busy")
        claim.release()
        unloaded = await client.post(f"/v1/models/{mine.reference}/unload")
        assert (unloaded.status_code, unloaded.json()["loaded"]) == (200, False)
        assert running.dispatcher.loaded() == []
        await client.post("/v1/models/me/mine/retire")
        assert (await client.post("/v1/models/me/mine/load")).status_code == 404
