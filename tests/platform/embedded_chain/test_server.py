import asyncio
import io
import json
import threading

import aiohttp
import pytest

from tallystick.keys import Wallet
from tallystick_platform.embedded_chain import server as server_module
from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tallystick_platform.embedded_chain.errors import ChainStorageFailed
from tallystick_platform.embedded_chain.server import MAX_BODY_BYTES, MAX_CONCURRENT_CALLS, ChainServer
from tests.support.accounts import Account

CHAIN_ID = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
WALLET = Wallet(b"\x11" * 32)


@pytest.fixture
async def server(tmp_path):
    chain = EmbeddedChain(tmp_path, chain_id=73571, prefund=[WALLET.address], durable=False)
    started = ChainServer(chain, 0)
    await started.start()
    started.chain = chain
    yield started
    await started.stop()
    chain.close()


@pytest.fixture
async def post(server):
    async with aiohttp.ClientSession() as session:

        async def send(body=CHAIN_ID, method="POST", **headers):
            data = body if isinstance(body, bytes | io.BytesIO) else json.dumps(body).encode()
            async with session.request(method, server.url, data=data, headers=headers) as response:
                text = await response.read()
                return response.status, json.loads(text) if text[:1] in b"{[" and text else text, response.headers

        yield send


def call(method, *params):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}


async def test_a_request_is_answered(post):
    status, body, headers = await post()
    assert (status, body["result"]) == (200, "0x11f63")
    assert headers["Content-Type"].startswith("application/json")


async def test_a_transaction_becomes_a_block_by_itself(post, server):
    signed = Account(transport=None, wallet=WALLET).sign(value=1)
    await post(call("eth_sendRawTransaction", "0x" + signed.raw.hex()))
    async with asyncio.timeout(10):
        while (
            receipt := (await post(call("eth_getTransactionReceipt", "0x" + signed.hash.hex())))[1]["result"]
        ) is None:
            await asyncio.sleep(0.01)
    assert receipt["status"] == "0x1"


async def test_what_is_no_json_gets_a_spec_conform_error(post):
    for body, code in ((b"{", -32700), (b"[]", -32600), (b"5", -32600), (b"[" * 10_000, -32700)):
        status, answered, _ = await post(body)
        assert (status, answered["error"]["code"], answered["id"]) == (200, code, None)


async def test_notifications_get_an_empty_answer(post):
    status, body, _ = await post({"jsonrpc": "2.0", "method": "eth_chainId"})
    assert (status, body) == (204, b"")


async def test_a_body_beyond_the_bound_is_refused(post):
    status, body, _ = await post(io.BytesIO(b" " * (MAX_BODY_BYTES + 1)))
    assert (status, body["error"]["code"]) == (413, -32600)


async def test_a_page_of_another_site_is_refused_and_a_local_one_may_read_the_answer(post):
    assert (await post(Origin="https://evil.example"))[0] == 403
    status, _, headers = await post(Origin="http://localhost:3000")
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "http://localhost:3000")


async def test_a_foreign_name_for_this_machine_is_refused(post):
    assert (await post(Host="rebound.evil.example"))[0] == 403


async def test_a_preflight_is_answered(post):
    status, _, headers = await post(method="OPTIONS", Origin="http://localhost:3000")
    assert (status, headers["Access-Control-Allow-Methods"]) == (204, "POST, OPTIONS")


async def test_another_verb_is_refused(post):
    status, _, headers = await post(method="GET")
    assert (status, headers["Allow"]) == (405, "POST, OPTIONS")


async def test_reads_are_answered_while_calls_and_blocks_are_busy(post, server, monkeypatch):
    busy = threading.Event()
    started = threading.Semaphore(0)

    def occupy(_):
        started.release()
        busy.wait(10)
        return "0x"

    monkeypatch.setattr(server._methods, "executing", {"eth_call": (2, occupy)})
    monkeypatch.setattr(server.chain, "block_due_in_s", lambda: occupy(None) and None)
    server._sent.set()
    calls = [asyncio.create_task(post(call("eth_call"))) for _ in range(MAX_CONCURRENT_CALLS)]
    async with asyncio.timeout(5):
        await asyncio.to_thread(started.acquire)
        while server._active_calls < MAX_CONCURRENT_CALLS:
            await asyncio.sleep(0.01)
        assert (await post())[1]["result"] == "0x11f63"
        assert (await post(call("eth_call")))[1]["error"]["message"] == "too many calls at once"
    busy.set()
    assert all(answered[1]["result"] == "0x" for answered in await asyncio.gather(*calls))


async def test_more_requests_than_the_bound_are_turned_away(post, server, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_CONCURRENT_REQUESTS", 0)
    status, body, _ = await post()
    assert (status, body["error"]["code"]) == (503, -32005)


async def test_a_slow_body_is_given_up(server, monkeypatch):
    monkeypatch.setattr(server_module, "BODY_TIMEOUT_S", 0.05)
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_a_full_disk_delays_the_block_and_no_more(post, server, monkeypatch):
    monkeypatch.setattr(server_module, "STORAGE_RETRY_PAUSE_S", 0.01)
    real, failures = server.chain.make_block, iter(range(3))

    def make_block():
        if next(failures, None) is not None:
            raise ChainStorageFailed(path=server.chain.storage.path, reason="disk full")
        return real()

    monkeypatch.setattr(server.chain, "make_block", make_block)
    signed = Account(transport=None, wallet=WALLET).sign(value=1)
    await post(call("eth_sendRawTransaction", "0x" + signed.raw.hex()))
    async with asyncio.timeout(10):
        while (await post(call("eth_getTransactionReceipt", "0x" + signed.hash.hex())))[1]["result"] is None:
            await asyncio.sleep(0.01)
    assert next(failures, None) is None


async def test_a_taken_port_is_an_error(server, tmp_path):
    chain = EmbeddedChain(tmp_path / "other", chain_id=1, durable=False)
    second = ChainServer(chain, int(server.url.rsplit(":", 1)[1]))
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    await second.stop()
    chain.close()
