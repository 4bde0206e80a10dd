"""Every path but chat: what is shown to whom, and in which shape."""

from __future__ import annotations

import ast
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from litestar import Litestar

from tallystick.ids import checksum_address, format_record_id
from tallystick.receipts.signed import SignedHead, signer
from tallystick.record import State
from tallystick_platform.api import error_table
from tallystick_platform.api.application import create_litestar
from tallystick_platform.api.refusals import BadRequest, HeadTooLarge, TooSlow
from tallystick_platform.api.services import Readiness
from tallystick_platform.errors import EngineFailed
from tests.support.api import DOCUMENT, HEAD, OTHER_TOKEN, TOKEN, Api
from tests.support.exchange import MODEL, PROMISE_S, SENDER, WRITER, Script, ask

HI = {"model": MODEL.id, "messages": [{"role": "user", "content": "Hi"}]}
OTHERS = {"authorization": f"Bearer {OTHER_TOKEN}"}
PROTECTED = (
    "/v1/models",
    "/v1/models/x",
    "/v1/records",
    "/v1/records/x",
    "/v1/records/x/receipt",
    "/v1/records/x/proof",
    "/v1/exports",
    "/v1/exports/x",
    "/v1/exports/x/files/y",
    "/v1/exports/x/archive.tar",
)


async def asked(api: Api, count: int = 1) -> list[str]:
    for _ in range(count):
        await api.line().run()
    return [format_record_id(record.id) for record in api.journal.records]


@pytest.mark.parametrize("path", PROTECTED)
async def test_what_is_a_senders_own_needs_a_token(path: str) -> None:
    async with Api().client(host="x") as client:
        reply = await client.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "missing_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"authorization": f"Bearer {TOKEN}"}, 200, None),
        ({"authorization": f"bearer  {TOKEN} "}, 200, None),
        ({"authorization": TOKEN}, 200, None),
        ({"x-api-key": TOKEN}, 200, None),
        ({"authorization": TOKEN, "x-api-key": TOKEN}, 200, None),
        ({"authorization": f"Bearer {TOKEN}", "x-sender-address": checksum_address(SENDER)}, 200, None),
        ({"authorization": f"Bearer {TOKEN}", "x-sender-address": "0x" + SENDER.hex()}, 200, None),
        ({"authorization": f"Bearer {TOKEN}", "x-sender-address": "0x" + "11" * 20}, 403, "sender_mismatch"),
        ({"authorization": f"Bearer {TOKEN}", "x-sender-address": "me"}, 403, "sender_mismatch"),
        ({"authorization": TOKEN, "x-api-key": OTHER_TOKEN}, 401, "invalid_api_key"),
        ({"authorization": "Bearer"}, 401, "missing_api_key"),
        ({"authorization": "Bearer "}, 401, "missing_api_key"),
        ({"x-api-key": ""}, 401, "missing_api_key"),
        ({"authorization": "Basic dTpw"}, 401, "invalid_api_key"),
        ({"authorization": "Bearer nobody"}, 401, "invalid_api_key"),
        ({"authorization": "Bearer tsk_expired"}, 401, "expired_api_key"),
        ({"authorization": "Bearer tsk_revoked"}, 401, "revoked_api_key"),
        ({"authorization": "Bearer " + "x" * 600}, 401, "invalid_api_key"),
        ({"bearer": TOKEN}, 401, "invalid_api_key"),
    ],
)
async def test_credentials(headers: dict[str, str], status: int, code: str | None) -> None:
    async with Api().client(**headers) as client:
        reply = await client.get("/v1/models")
    assert reply.status_code == status
    if code is not None:
        assert reply.json()["error"]["code"] == code
        assert TOKEN not in reply.text


@pytest.mark.parametrize("tokens", [(TOKEN, "Bearer nobody"), ("Bearer nobody", TOKEN), (TOKEN, "")])
async def test_one_header_twice_presents_one_token_or_is_refused(tokens: tuple[str, str]) -> None:
    async with Api().client(host="x") as client:
        reply = await client.get("/v1/models", headers=[("authorization", token) for token in tokens])
    assert reply.status_code == 401


@pytest.mark.parametrize("stated", [("me", checksum_address(SENDER)), (checksum_address(SENDER), "me")])
async def test_each_address_that_is_stated_is_the_tokens(stated: tuple[str, str]) -> None:
    async with Api().client(authorization=TOKEN) as client:
        reply = await client.get("/v1/models", headers=[("x-sender-address", address) for address in stated])
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "sender_mismatch")


async def test_a_refused_chat_is_neither_admitted_nor_read() -> None:
    async with (api := Api()).client(authorization="Bearer nobody") as client:
        assert (await client.post("/v1/chat/completions", json=HI)).status_code == 401
    assert api.journal.admitted == 0


async def test_models_are_listed_with_what_makes_them_checkable() -> None:
    async with Api().client() as client:
        listed = (await client.get("/v1/models")).json()
        one = (await client.get(f"/v1/models/{MODEL.id}")).json()
    assert listed["data"] == [one]
    assert one["id"] == "test/model"
    assert one["weights_digest"] == "0x" + MODEL.weights_digest.hex()
    assert one["provider"]["price_per_hour_micros"] == 500_000


async def test_an_unknown_model_is_not_found() -> None:
    async with Api().client() as client:
        reply = await client.get("/v1/models/no/model")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    assert "'no/model'" in reply.json()["error"]["message"]


async def test_records_are_listed_newest_first_in_pages() -> None:
    api = Api()
    ids = await asked(api, 3)
    async with api.client() as client:
        first = (await client.get("/v1/records?limit=2")).json()
        second = (await client.get(f"/v1/records?limit=2&cursor={first['next_cursor']}")).json()
    assert [entry["record_id"] for entry in first["data"]] == ids[:0:-1]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)
    assert [entry["record_id"] for entry in second["data"]] == ids[:1]


async def test_records_are_filtered_by_outcome_and_model() -> None:
    api = Api()
    await asked(api, 2)
    api.dispatcher.script = Script(error=EngineFailed(reason="broken"))
    await asked(api)
    async with api.client() as client:
        failed = (await client.get("/v1/records?state=failed")).json()["data"]
        other = (await client.get("/v1/records?model=other")).json()["data"]
    assert [entry["outcome"] for entry in failed] == ["failed"]
    assert other == []


@pytest.mark.parametrize(
    "query",
    [
        *(f"cursor={text}" for text in ("x", "", "-1", "null", "1&cursor=2", str(2**53))),
        *(f"limit={text}" for text in ("0", "101", "1.5", "1.0", "01", "%20 1")),
        "state=anchored",
    ],
)
async def test_a_malformed_query_is_refused_by_name(query: str) -> None:
    async with Api().client() as client:
        reply = await client.get(f"/v1/records?{query}")
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == query.split("=", maxsplit=1)[0]


async def test_a_record_shows_its_way_to_the_chain() -> None:
    api = Api()
    [record_id] = await asked(api)
    async with api.client() as client:
        found = (await client.get(f"/v1/records/{record_id}")).json()
        receipt = (await client.get(f"/v1/records/{record_id}/receipt")).json()
    assert (found["state"], found["outcome"], found["index"]) == ("journaled", State.COMPLETED.value, 0)
    assert found["sender"] == checksum_address(SENDER)
    assert receipt == api.journal.entries[0].receipt.to_json()


async def test_the_bundle_is_a_file() -> None:
    api = Api()
    [record_id] = await asked(api)
    async with api.client() as client:
        reply = await client.get(f"/v1/records/{record_id}/proof")
        closed = await client.get(f"/v1/records/{record_id}/proof?secret=false")
        wrong = await client.get(f"/v1/records/{record_id}/proof?secret=1")
    assert reply.headers["content-disposition"] == f'attachment; filename="tallystick-{record_id}.json"'
    assert reply.headers["cache-control"] == "no-store"
    assert (reply.json(), closed.json(), wrong.status_code) == ({"secret": True}, {"secret": False}, 400)


@pytest.mark.parametrize("tail", ["", "/receipt", "/proof"])
async def test_somebody_elses_record_does_not_exist(tail: str) -> None:
    api = Api()
    [record_id] = await asked(api)
    async with api.client(**OTHERS) as client:
        theirs = await client.get(f"/v1/records/{record_id}{tail}")
        nobodys = await client.get(f"/v1/records/01890000-0000-7000-8000-000000000000{tail}")
        malformed = await client.get(f"/v1/records/nonsense{tail}")
    assert theirs.status_code == nobodys.status_code == malformed.status_code == 404
    assert theirs.content == nobodys.content == malformed.content


async def test_somebody_elses_records_are_not_listed() -> None:
    api = Api()
    await asked(api)
    async with api.client(**OTHERS) as client:
        assert (await client.get("/v1/records")).json()["data"] == []


async def test_the_ledger_and_its_batches_need_no_token() -> None:
    async with Api().client(host="x") as client:
        ledger = (await client.get("/v1/ledger")).json()
        page = (await client.get("/v1/ledger/batches?limit=2")).json()
        rest = (await client.get(f"/v1/ledger/batches?cursor={page['next_cursor']}")).json()
        one = (await client.get("/v1/ledger/batches/1")).json()
        missing = await client.get("/v1/ledger/batches/9")
        malformed = await client.get("/v1/ledger/batches/x")
    assert ledger["log_id"].startswith("0x")
    assert (ledger["entries"], ledger["terms"]["promise"], ledger["terms"]["mode"]) == (4, PROMISE_S, "append")
    signed = SignedHead.from_json(ledger["signed_head"])
    assert (signed.head, signer(signed)) == (HEAD, WRITER.address)
    assert ([batch["number"] for batch in page["data"]], page["has_more"]) == ([2, 1], True)
    assert ([batch["number"] for batch in rest["data"]], rest["has_more"]) == ([0], False)
    assert one["number"] == 1
    assert (missing.status_code, malformed.status_code) == (404, 400)


async def test_readiness_says_what_is_missing() -> None:
    api = Api()
    async with api.client(host="x") as client:
        assert (await client.get("/readyz")).status_code == 200
        api.ready = Readiness(status="not ready", parts={"workers": "loading"})
        reply = await client.get("/readyz")
        assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (reply.status_code, reply.json()["parts"]) == (503, {"workers": "loading"})


async def test_metrics_count_requests_by_route_and_not_by_what_clients_make_up() -> None:
    async with Api().client() as client:
        await client.get(f"/v1/models/{MODEL.id}")
        await client.get("/made/up")
        text = (await client.get("/metrics")).text
    assert 'tallystick_requests_total{path="/v1/models/{model_id}",status="200"} 1.0' in text
    assert 'tallystick_requests_total{path="unrouted",status="404"} 1.0' in text
    assert "made" not in text


class Sources(HTMLParser):
    """Collects whatever a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "iframe", "img", "object", "embed"}:
            self.found.append(tag)
        self.found += [value or "" for name, value in attrs if name == "src" or (tag == "link" and name == "href")]


@pytest.mark.parametrize("path", ["/", "/schema"])
async def test_the_pages_fetch_and_run_nothing(path: str) -> None:
    async with Api().client(host="x") as client:
        reply = await client.get(path)
    sources = Sources()
    sources.feed(reply.text)
    assert sources.found == []
    assert "http://" not in reply.text
    assert "https://" not in reply.text
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_page_shows_every_path_and_parameter() -> None:
    async with Api().client(host="x") as client:
        page = (await client.get("/schema")).text
    for path in DOCUMENT["paths"]:
        assert path in page
    for name in DOCUMENT["components"]["schemas"]["ChatBody"]["properties"]:
        assert f"<code>{name}</code>" in page


def routes(app: Litestar) -> set[tuple[str, str]]:
    return {
        (method.lower(), re.sub(r"\{(\w+):\w+\}", r"{\1}", handler_path))
        for route in app.routes
        for handler_path in [route.path.replace("/{owner:str}/{model_id:str}", "/{model_id:str}")]
        for method in route.methods
        if method not in {"OPTIONS", "HEAD"}
    }


def test_the_description_lists_the_served_routes_and_no_others() -> None:
    described = {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == routes(create_litestar(Api().services))


def test_every_part_of_an_address_and_every_parameter_is_described() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            parameters = operation["parameters"]
            assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
            assert all(one["description"] and one["schema"] for one in parameters), path


def test_what_a_connection_may_be_refused_with_before_any_handler_is_described_everywhere() -> None:
    below = {str(error.status) for error in (BadRequest, TooSlow, HeadTooLarge)}
    assert below == {"400", "408", "431"}
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            assert below <= set(operation["responses"]), path


def test_the_description_names_each_operation_once() -> None:
    names = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))


def test_every_reference_in_the_description_leads_somewhere() -> None:
    description = DOCUMENT
    names = set(re.findall(r"#/components/schemas/(\w+)", str(description)))
    assert names <= set(description["components"]["schemas"])


async def test_a_record_is_answered_in_the_described_shapes() -> None:
    api = Api()
    [record_id] = await asked(api)
    async with api.client() as client:
        for path in ("", "/receipt", "/proof"):
            assert (await client.get(f"/v1/records/{record_id}{path}")).status_code == 200


def test_the_api_imports_neither_torch_nor_the_engine() -> None:
    folder = Path(sys.modules["tallystick_platform.api"].__file__).parent
    for path in [*folder.glob("*.py"), *(folder.parent / "exchange").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.split(".")[0] in {"torch", "transformers"} for name in names), path


async def test_options_and_head_do_not_fail() -> None:
    async with Api().client(host="x") as client:
        assert (await client.options("/v1/ledger")).status_code == 204
        assert (await client.head("/v1/ledger")).status_code == 200


def readable() -> list[str]:
    return [path for path, item in DOCUMENT["paths"].items() if "get" in item]


@pytest.mark.parametrize("path", readable())
async def test_head_answers_as_get_does_without_the_body(path: str) -> None:
    path = re.sub(r"\{\w+\}", "x", path)
    async with Api().client() as client:
        whole, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    passing = {"x-request-id", *(("content-length",) if path == "/metrics" else ())}
    assert {k: v for k, v in head.headers.items() if k not in passing} == {
        k: v for k, v in whole.headers.items() if k not in passing
    }


@pytest.mark.parametrize("path", list(DOCUMENT["paths"]))
async def test_a_method_that_is_not_taken_is_told_which_are(path: str) -> None:
    described = {method.upper() for method in DOCUMENT["paths"][path]}
    async with Api().client() as client:
        reply = await client.request("PATCH", re.sub(r"\{\w+\}", "x", path))
        options = await client.options(re.sub(r"\{\w+\}", "x", path))
    assert (reply.status_code, reply.json()["error"]["code"]) == (405, "method_not_allowed")
    assert options.status_code == 204
    allowed = set(reply.headers["allow"].split(", "))
    assert (
        allowed
        == set(options.headers["allow"].split(", "))
        == described | {"OPTIONS"} | ({"HEAD"} if "GET" in described else set())
    )


async def test_the_name_batches_is_openai_s() -> None:
    async with Api().client() as client:
        found = (await client.get("/v1/batches")).json()
    assert (found["object"], found["data"], found["last_id"]) == ("list", [], None)


async def test_health_has_two_names() -> None:
    async with Api().client(host="x") as client:
        assert (await client.get("/health")).json() == (await client.get("/healthz")).json()


async def test_openapi_is_served_as_json() -> None:
    async with Api().client(host="x") as client:
        assert (await client.get("/schema/openapi.json")).json() == DOCUMENT


async def test_a_question_with_unusual_text_is_recorded_as_it_was() -> None:
    api = Api()
    await api.line(ask("\u0000 \U0001f642")).run()
    assert api.journal.only.prompt["messages"][0]["content"] == "\u0000 \U0001f642"


def test_httpx_is_only_a_test_dependency() -> None:
    assert httpx.__name__ not in Path(error_table.__file__).read_text()
