"""Models and uploads over HTTP: what is shown to whom, and what is refused in which shape."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest

from tallystick_platform.api import registry
from tallystick_platform.api import uploads as module
from tallystick_platform.protocol import Sampling
from tallystick_platform.registry import registrations, upload_entries, uploads
from tallystick_platform.registry.desk import ModelDesk
from tallystick_platform.registry.entries import Stage, Visibility
from tallystick_platform.registry.errors import DiskFull
from tallystick_platform.registry.folders import RESERVE_BYTES
from tallystick_platform.registry.hub import parse_hub
from tests.support.api import AUTH, OTHER, OTHER_TOKEN, Api
from tests.support.exchange import MODEL, PLACEMENT, PRINCIPAL
from tests.support.hub_server import Hub, Repository, serving_hub
from tests.support.registries import FILES, Shelf

PART = 8
OTHERS = {"authorization": f"Bearer {OTHER_TOKEN}"}
WEIGHTS = bytes(range(20))
BIG = FILES | {"model.safetensors": WEIGHTS}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (upload_entries, uploads, module):
        monkeypatch.setattr(place, "PART_BYTES", PART)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def desk(shelf: Shelf) -> ModelDesk:
    return shelf.desk()


@pytest.fixture
def client(desk: ModelDesk) -> httpx.AsyncClient:
    return Api(models=desk).client()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub(acme__tiny=Repository(files=FILES)) as hub:
        yield hub


def body_of(files: dict[str, bytes], **members: object) -> dict[str, object]:
    listed = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    ]
    return {"files": listed, **members}


def code_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


async def send(client: httpx.AsyncClient, upload: dict[str, object], files: dict[str, bytes] = BIG) -> None:
    base = f"/v1/models/{upload['model']}/uploads/{upload['id']}"
    for gap in upload["missing"]:  # type: ignore[attr-defined]
        for number in range(gap["first"], gap["last"] + 1):
            piece = files[gap["name"]][number * PART : (number + 1) * PART]
            reply = await client.put(f"{base}/files/{gap['name']}?part={number}", content=piece)
            assert reply.status_code == 200, reply.text


async def uploaded(client: httpx.AsyncClient, model: str, **members: object) -> httpx.Response:
    upload = (await client.post(f"/v1/models/{model}/uploads", json=body_of(BIG, **members))).json()
    await send(client, upload)
    return await client.post(f"/v1/models/{model}/uploads/{upload['id']}/complete")


async def test_what_a_request_runs_with_that_says_nothing_is_shown() -> None:
    api = Api()
    own = Sampling(temperature=0.2, repetition_penalty=1.1, left_out=("typical_p",))
    api.dispatcher.placement = replace(PLACEMENT, model=msgspec.structs.replace(MODEL, sampling=own))
    async with api.client() as client:
        shown = (await client.get(f"/v1/models/{MODEL.id}")).json()
        assert (await client.get("/v1/models")).json()["data"] == [shown]
    assert shown["defaults"] == {
        "temperature": 0.2,
        "top_p": 1.0,
        "top_k": 0,
        "max_tokens": 1_024,
        "min_p": 0.0,
        "repetition_penalty": 1.1,
        "recommended_but_not_offered": ["typical_p"],
    }


async def test_a_model_that_draws_nothing_has_no_defaults_of_drawing() -> None:
    api = Api()
    encoder = msgspec.structs.replace(MODEL, task="embedding", tasks=("embedding",))
    api.dispatcher.placement = replace(PLACEMENT, model=encoder)
    async with api.client() as client:
        assert (await client.get(f"/v1/models/{MODEL.id}")).json()["defaults"] is None


@pytest.mark.parametrize("model", ["mine", "acme/mine"])
async def test_an_upload_becomes_a_version_its_owner_may_ask(client: httpx.AsyncClient, model: str) -> None:
    async with client:
        version = (await uploaded(client, model)).json()
        assert (version["model"], version["stage"], version["visibility"]) == (model, "staging", "private")
        listed = {entry["id"]: entry for entry in (await client.get("/v1/models")).json()["data"]}
        assert listed[model]["registry"] == version
        assert listed[model]["defaults"] is None
        assert (listed[model]["loaded"], listed[model]["weights_digest"]) == (False, version["digest"])
        assert (await client.get(f"/v1/models/{model}")).json() == listed[model]
        assert (await client.get(f"/v1/models/{version['reference']}")).json() == listed[model]
        assert (await client.get(f"/v1/models/{model}/versions")).json()["data"] == [version]


@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("GET", ""),
        ("GET", "/versions"),
        ("POST", "/promote"),
        ("POST", "/retire"),
        ("DELETE", ""),
    ],
)
async def test_a_private_model_of_somebody_else_is_not_found(
    client: httpx.AsyncClient, method: str, below: str
) -> None:
    async with client:
        await uploaded(client, "mine")
        hidden = await client.request(method, f"/v1/models/mine{below}", headers=OTHERS)
        nothing = await client.request(method, f"/v1/models/nono{below}", headers=OTHERS)
        assert code_of(hidden) == code_of(nothing) == (404, "model_not_found")
        assert hidden.text.replace("mine", "nono") == nothing.text
        assert "mine" not in (await client.get("/v1/models", headers=OTHERS)).text


async def test_a_public_model_is_for_everybody_once_it_is_in_production(client: httpx.AsyncClient) -> None:
    async with client:
        await uploaded(client, "ours", visibility="public")
        assert "ours" not in (await client.get("/v1/models", headers=OTHERS)).text
        promoted = await client.post("/v1/models/ours/promote")
        assert (promoted.status_code, promoted.json()["stage"]) == (200, "production")
        assert "ours" in (await client.get("/v1/models", headers=OTHERS)).text
        assert code_of(await client.post("/v1/models/ours/retire", headers=OTHERS)) == (403, "not_the_owner")


async def test_a_version_is_retired_before_it_is_removed(client: httpx.AsyncClient, shelf: Shelf) -> None:
    async with client:
        await uploaded(client, "mine")
        await client.post("/v1/models/mine/promote")
        assert code_of(await client.delete("/v1/models/mine")) == (409, "model_in_use")
        assert (await client.post("/v1/models/mine/retire")).json()["stage"] == "retired"
        assert "mine" not in (await client.get("/v1/models")).text
        assert (await client.delete("/v1/models/mine")).json()["deleted"] is True
        assert code_of(await client.get("/v1/models/mine")) == (404, "model_not_found")
    assert [path for path in shelf.folders.store.iterdir() if path.is_dir()] == []


async def test_a_loaded_version_is_not_removed_and_shown_as_loaded(shelf: Shelf) -> None:
    async with Api(models=shelf.desk(served=lambda _: True)).client() as client:
        await uploaded(client, "mine")
        assert (await client.get("/v1/models/mine")).json()["loaded"] is True
        assert code_of(await client.delete("/v1/models/mine")) == (409, "model_in_use")


async def test_what_is_served_and_registered_is_listed_once_with_both(shelf: Shelf) -> None:
    async with Api(models=shelf.desk()).client() as client:
        (entry,) = (await client.get("/v1/models")).json()["data"]
        assert (entry["id"], entry["loaded"], entry["registry"]) == (MODEL.id, True, None)
        assert (await client.get(f"/v1/models/{MODEL.id}")).json() == entry


async def test_a_model_says_what_it_can_be_exported_to_and_why_not_to_the_rest(shelf: Shelf) -> None:
    shelf.add("whole", stage=Stage.PRODUCTION)
    shelf.add("orphan", stage=Stage.PRODUCTION)
    async with Api(models=shelf.desk()).client() as client:
        shown = {entry["id"]: entry["exports"] for entry in (await client.get("/v1/models")).json()["data"]}
        for model, exports in shown.items():
            assert (await client.get(f"/v1/models/{model}")).json()["exports"] == exports
    assert shown["whole"] == {"formats": {"gguf": ["F16", "Q8_0"]}, "refused": {"onnx": "no"}}
    for model, reason in (("orphan", "'its base' does not exist"), (MODEL.id, "without being registered")):
        assert shown[model]["formats"] == {}
        assert set(shown[model]["refused"]) == {"safetensors", "onnx", "gguf"}
        assert reason in shown[model]["refused"]["onnx"]


async def test_where_things_lie_on_the_server_is_not_told(client: httpx.AsyncClient, shelf: Shelf) -> None:
    shelf.add("tiny", stage=Stage.PRODUCTION)
    async with client:
        source = (await client.get("/v1/models/tiny")).json()["registry"]["source"]
    assert source == {"kind": "folder"}


@pytest.mark.parametrize("source", ["/etc", "./model", "demo", "https://elsewhere/v1", "file:///x"])
async def test_over_http_only_a_hub_is_a_source(client: httpx.AsyncClient, source: str) -> None:
    async with client:
        refused = await client.post("/v1/models", json={"source": source})
    assert code_of(refused) == (400, "invalid_value")
    assert "tallystick-server model add" in refused.json()["error"]["message"]


async def test_a_model_is_brought_from_a_hub_while_its_progress_is_watched(
    client: httpx.AsyncClient, desk: ModelDesk, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(registry, "parse_hub", partial(parse_hub, endpoint=hub.endpoint))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    async with client:
        taken = await client.post("/v1/models", json={"source": "hf:acme/tiny@main", "licence": "mit"})
        assert (taken.status_code, taken.json()["state"]) == (202, "queued")
        where = taken.headers["location"]
        await desk.registrations.settled()
        now = (await client.get(where)).json()
        assert (now["state"], now["progress"], now["error"]) == ("finished", 1.0, None)
        assert now["version"]["source"]["commit"] == hub.repositories["acme/tiny"].commit
        assert (await client.get("/v1/models/acme/tiny")).json()["registry"] == now["version"]
        assert code_of(await client.get(where, headers=OTHERS)) == (404, "registration_not_found")


async def test_a_model_that_cannot_be_brought_says_why(
    client: httpx.AsyncClient, desk: ModelDesk, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "parse_hub", partial(parse_hub, endpoint=hub.endpoint))
    async with client:
        where = (await client.post("/v1/models", json={"source": "hf:acme/none"})).headers["location"]
        await desk.registrations.settled()
        now = (await client.get(where)).json()
    assert (now["state"], now["error"]["code"]) == ("failed", "source_unusable")


async def test_models_on_their_way_are_bounded(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrations, "MAX_WAITING", 0)
    async with Api(models=shelf.desk()).client() as client:
        refused = await client.post("/v1/models", json={"source": "hf:acme/tiny"})
    assert code_of(refused) == (429, "overloaded")
    assert refused.headers["retry-after"] == str(registrations.RETRY_AFTER_S)


async def test_an_upload_is_resumed_from_what_is_missing(client: httpx.AsyncClient) -> None:
    async with client:
        upload = (await client.post("/v1/models/mine/uploads", json=body_of(BIG))).json()
        base = f"/v1/models/mine/uploads/{upload['id']}"
        first = await client.put(f"{base}/files/model.safetensors?part=1", content=WEIGHTS[8:16])
        assert first.json() == {
            "object": "model.part",
            "part": 1,
            "size_bytes": 8,
            "sha256": hashlib.sha256(WEIGHTS[8:16]).hexdigest(),
        }
        assert code_of(await client.post(f"{base}/complete")) == (409, "upload_incomplete")
        now = (await client.get(base)).json()
        assert now["missing_parts"] == upload["missing_parts"] - 1
        assert now["part_bytes"] == PART
        assert (await client.get("/v1/models/mine/uploads")).json()["data"] == [now]
        await send(client, now)
        assert (await client.post(f"{base}/complete")).json()["number"] == 1
        assert code_of(await client.get(base)) == (404, "upload_not_found")


@pytest.mark.parametrize(
    ("path", "content", "headers", "expected"),
    [
        ("files/model.safetensors?part=0", b"x" * 9, {}, (413, "body_too_large")),
        ("files/model.safetensors?part=0", b"x" * 7, {}, (400, "upload_refused")),
        ("files/model.safetensors?part=2", b"x" * 5, {}, (400, "upload_refused")),
        ("files/model.safetensors?part=9", b"x", {}, (400, "upload_refused")),
        ("files/model.safetensors?part=-1", b"x", {}, (400, "invalid_value")),
        ("files/model.safetensors?part=0", b"x" * 8, {"x-part-sha256": "0" * 64}, (400, "upload_refused")),
        ("files/model.safetensors?part=0", b"x" * 8, {"x-part-sha256": "me"}, (400, "invalid_value")),
        ("files/other.json", b"x", {}, (400, "upload_refused")),
        ("files/%2e%2e/%2e%2e/etc/passwd", b"x", {}, (400, "upload_refused")),
    ],
)
async def test_a_part_that_was_not_announced_is_refused(
    client: httpx.AsyncClient, path: str, content: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    async with client:
        upload = (await client.post("/v1/models/mine/uploads", json=body_of(BIG))).json()
        reply = await client.put(
            f"/v1/models/mine/uploads/{upload['id']}/{path}", content=content, headers=AUTH | headers
        )
        assert code_of(reply) == expected
        now = (await client.get(f"/v1/models/mine/uploads/{upload['id']}")).json()
        assert now["missing_parts"] == upload["missing_parts"]


async def test_a_part_without_a_length_is_cut_off_at_its_size(client: httpx.AsyncClient) -> None:
    async def endless() -> object:
        for _ in range(1_000):
            yield b"x" * 4_096

    async with client:
        upload = (await client.post("/v1/models/mine/uploads", json=body_of(BIG))).json()
        path = f"/v1/models/mine/uploads/{upload['id']}/files/model.safetensors"
        assert code_of(await client.put(path, content=endless())) == (400, "upload_refused")


async def test_a_part_that_does_not_arrive_in_time_is_given_up(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stalled() -> object:
        yield b"x"
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "PART_LIMIT_S", 0.01)
    async with client:
        upload = (await client.post("/v1/models/mine/uploads", json=body_of(BIG))).json()
        base = f"/v1/models/mine/uploads/{upload['id']}"
        assert code_of(await client.put(f"{base}/files/model.safetensors", content=stalled())) == (408, "too_slow")
        assert (await client.delete(base)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PUT"])
async def test_an_upload_of_somebody_else_is_not_found(client: httpx.AsyncClient, method: str) -> None:
    async with client:
        upload = (await client.post("/v1/models/mine/uploads", json=body_of(BIG))).json()
        path = f"/v1/models/mine/uploads/{upload['id']}"
        path += {"POST": "/complete", "PUT": "/files/config.json"}.get(method, "")
        reply = await client.request(method, path, headers=OTHERS, content=b"x" if method == "PUT" else None)
        assert code_of(reply) == (404, "upload_not_found")
        elsewhere = await client.request(method, path.replace("/mine/", "/other/"))
        assert code_of(elsewhere) == (404, "upload_not_found")


async def test_a_part_in_a_content_coding_is_not_taken(client: httpx.AsyncClient) -> None:
    async with client:
        upload = (await client.post("/v1/models/mine/uploads", json=body_of(BIG))).json()
        path = f"/v1/models/mine/uploads/{upload['id']}/files/config.json"
        refused = await client.put(path, content=b"x", headers={"content-encoding": "gzip"})
        assert code_of(refused) == (415, "unsupported_encoding")
        assert "sent as it is" in refused.json()["error"]["message"]


async def test_an_upload_is_given_up(client: httpx.AsyncClient, shelf: Shelf) -> None:
    async with client:
        upload = (await client.post("/v1/models/mine/uploads", json=body_of(BIG))).json()
        await send(client, upload)
        removed = await client.delete(f"/v1/models/mine/uploads/{upload['id']}")
    assert removed.json() == {"object": "model.upload", "id": upload["id"], "deleted": True}
    assert list(shelf.folders.uploads.iterdir()) == []


async def test_a_file_that_arrived_changed_is_named(client: httpx.AsyncClient) -> None:
    async with client:
        upload = (await client.post("/v1/models/mine/uploads", json=body_of(BIG))).json()
        await send(client, upload, BIG | {"model.safetensors": b"\xff" * 20})
        refused = await client.post(f"/v1/models/mine/uploads/{upload['id']}/complete")
        assert code_of(refused) == (409, "content_differs")
        assert "model.safetensors" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"files": []}, "invalid_value"),
        ({"files": [{"name": "a", "size": -1, "sha256": "0" * 64}]}, "invalid_value"),
        ({"files": [{"name": "a", "size": 1, "sha256": "x"}]}, "invalid_value"),
        ({"files": [{"name": "../a", "size": 1, "sha256": "0" * 64}]}, "upload_refused"),
        ({"files": [{"name": "a", "size": 1, "sha256": "0" * 64}], "pin": True}, "unknown_parameter"),
    ],
)
async def test_what_cannot_be_an_upload_is_refused(client: httpx.AsyncClient, body: object, code: str) -> None:
    async with client:
        refused = await client.post("/v1/models/mine/uploads", json=body)
    assert code_of(refused) == (400, code)


async def test_a_name_of_somebody_else_is_taken(client: httpx.AsyncClient, shelf: Shelf) -> None:
    shelf.add("theirs", owner=OTHER.address, visibility=Visibility.PRIVATE)
    async with client:
        assert code_of(await client.post("/v1/models/theirs/uploads", json=body_of(BIG))) == (409, "model_taken")
        assert code_of(await client.post("/v1/models", json={"source": "hf:a/b", "id": "theirs"})) == (
            409,
            "model_taken",
        )


async def test_a_disk_without_room_is_answered_with_the_figures(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, free_bytes=lambda _: RESERVE_BYTES)
    async with Api(models=shelf.desk()).client() as client:
        refused = await client.post("/v1/models/mine/uploads", json=body_of(BIG))
    assert code_of(refused) == (507, "no_space")
    assert str(DiskFull(needed_bytes=47, available_bytes=0)) in refused.json()["error"]["message"]


async def test_an_id_that_cannot_be_one_is_refused(client: httpx.AsyncClient) -> None:
    async with client:
        refused = await client.post("/v1/models/a%20b/uploads", json=body_of(BIG))
    assert code_of(refused) == (400, "invalid_model_id")


def test_the_test_tokens_belong_to_different_senders() -> None:
    assert PRINCIPAL.address != OTHER.address
