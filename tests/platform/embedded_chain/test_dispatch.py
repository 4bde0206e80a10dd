import json

import pytest
import structlog

from tallystick_platform.embedded_chain import dispatch
from tallystick_platform.embedded_chain.dispatch import MAX_BATCH_REQUESTS, answer, executes, parse
from tallystick_platform.embedded_chain.errors import ChainStorageFailed, Refused
from tallystick_platform.embedded_chain.methods import Methods
from tests.support.accounts import REVERT_WITH_CALLDATA


@pytest.fixture
def methods(account):
    return Methods(account.transport.chain)


def request(method="eth_chainId", **members):
    return {"jsonrpc": "2.0", "id": 7, "method": method} | members


def ask(methods, value):
    body = answer(value, methods)
    return json.loads(body) if body else None


def test_a_request_is_answered_with_its_id(methods):
    assert ask(methods, request()) == {"jsonrpc": "2.0", "id": 7, "result": "0x11f63"}
    assert ask(methods, request(id="text"))["id"] == "text"
    assert ask(methods, request(id=None))["id"] is None


def test_a_notification_is_not_answered(methods):
    value = request()
    del value["id"]
    assert answer(value, methods) == b""
    assert answer(value | {"method": "eth_nothing"}, methods) == b""


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a":}', b"\xff\xfe", b"nul", b'"\xff"', b"[" * 100_000, b'[{"a":' * 50_000]
)
def test_what_is_no_json_is_a_parse_error(body):
    with pytest.raises(Refused) as caught:
        parse(body)
    assert caught.value.rpc_code == -32700


@pytest.mark.parametrize("body", [b"[]", json.dumps([request()] * (MAX_BATCH_REQUESTS + 1)).encode()])
def test_an_empty_batch_and_one_beyond_the_bound_are_invalid(body):
    with pytest.raises(Refused) as caught:
        parse(body)
    assert caught.value.rpc_code == -32600


@pytest.mark.parametrize(
    "value",
    [
        5,
        "x",
        None,
        {},
        request(jsonrpc="1.0"),
        request(method=5),
        request(id={}),
        request(id=[1]),
        request(id=True),
        {"id": 7},
    ],
)
def test_what_is_no_request_is_invalid(methods, value):
    error = ask(methods, value)
    assert error["error"]["code"] == -32600
    assert "result" not in error


def test_an_unknown_method_is_named(methods):
    error = ask(methods, request("evm_mine"))["error"]
    assert error == {"code": -32601, "message": "the method evm_mine does not exist/is not available"}


@pytest.mark.parametrize("params", [{}, "x", ["0x1"]])
def test_parameters_of_another_shape_are_refused(methods, params):
    assert ask(methods, request(params=params))["error"]["code"] == -32602


def test_revert_data_is_in_the_error(account, methods):
    to = "0x" + account.deploy(REVERT_WITH_CALLDATA).hex()
    error = ask(methods, request("eth_call", params=[{"to": to, "data": "0xabcd"}, "latest"]))["error"]
    assert error == {"code": 3, "message": "execution reverted", "data": "0xabcd"}


def test_a_batch_is_answered_in_order_and_without_its_notifications(methods):
    notification = {"jsonrpc": "2.0", "method": "eth_chainId"}
    found = ask(methods, [request(id=1), notification, request("no", id=2), 5, request("net_version", id=3)])
    assert [item["id"] for item in found] == [1, 2, None, 3]
    assert [item["error"]["code"] for item in found[1:3]] == [-32601, -32600]
    assert found[3]["result"] == "73571"


def test_a_batch_of_notifications_is_not_answered(methods):
    assert answer([{"jsonrpc": "2.0", "method": "eth_chainId"}] * 2, methods) == b""


def test_a_batch_whose_answer_grows_too_long_is_refused_from_there_on(methods, monkeypatch):
    monkeypatch.setattr(dispatch, "MAX_BATCH_ANSWER_BYTES", 60)
    found = ask(methods, [request(id=number) for number in range(4)])
    assert ["result" in item for item in found] == [True, True, False, False]
    assert [item["error"]["code"] for item in found[2:]] == [-32005, -32005]
    assert [item["id"] for item in found] == [0, 1, 2, 3]


def test_a_defect_is_logged_and_not_shown(methods, monkeypatch):
    def broken(_):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(methods, "reading", {"eth_chainId": (0, broken)})
    with structlog.testing.capture_logs() as logs:
        error = ask(methods, request())["error"]
    assert error == {"code": -32603, "message": "internal error"}
    assert logs[0]["event"] == "chain.internal_error"


def test_a_failing_disk_is_told(methods, monkeypatch, tmp_path):
    def failing(_):
        raise ChainStorageFailed(path=tmp_path, reason="disk I/O error")

    monkeypatch.setattr(methods, "reading", {"eth_chainId": (0, failing)})
    assert ask(methods, request())["error"]["message"] == "the chain's storage failed: disk I/O error"


def test_what_takes_the_vm_is_told_apart(methods):
    assert executes(request("eth_call"), methods)
    assert executes([request(), request("eth_estimateGas")], methods)
    assert not executes([request(), 5], methods)
