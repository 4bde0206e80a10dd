import json
import socket
import time

import pytest

from tallystick.chain import rpc
from tallystick.chain.rpc import HttpTransport
from tallystick.chain.wire import AnswerTooLarge, AnswerTooSlow, RateLimited
from tallystick.errors import ChainRejected, ChainUnavailable
from tests.support.memory_peak import MIB, peak_below
from tests.support.nodes import dribbling_node, http_node, raw_node, result


@pytest.fixture
def transport_to():
    opened = []

    def connect(node, **options):
        pauses = []
        transport = HttpTransport(node.url, sleep=pauses.append, **options)
        transport.pauses = pauses
        opened.append(transport)
        return transport

    yield connect
    for transport in opened:
        transport.close()


def test_the_result_is_given_and_the_question_is_json_rpc(transport_to):
    with http_node(result("0x1")) as node:
        assert transport_to(node).call("eth_chainId", ["a"]) == "0x1"
    assert node.requests == [{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": ["a"]}]


def test_one_connection_serves_many_questions(transport_to):
    with http_node(result("0x1", 1), result("0x2", 2)) as node:
        transport = transport_to(node)
        assert [transport.call("a", []), transport.call("b", [])] == ["0x1", "0x2"]
    assert node.connections == 1


def test_a_dropped_connection_is_tried_again(transport_to):
    with http_node((0, b""), result("0x1")) as node:
        transport = transport_to(node)
        assert transport.call("a", []) == "0x1"
    assert transport.pauses == [rpc.FIRST_PAUSE_S]


@pytest.mark.parametrize("status", [429, 502, 503])
def test_an_overloaded_node_is_waited_for_and_then_given_up(transport_to, status):
    with http_node((status, b"busy")) as node:
        transport = transport_to(node)
        with pytest.raises(ChainUnavailable, match=f"HTTP {status}, {rpc.PATIENT_ATTEMPTS} times"):
            transport.call("a", [])
    assert len(node.requests) == rpc.PATIENT_ATTEMPTS
    assert transport.pauses == [rpc.FIRST_PAUSE_S * 2**n for n in range(rpc.PATIENT_ATTEMPTS - 1)]


def refusal(code, message):
    return 200, json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}).encode()


def test_a_rate_limit_that_comes_as_an_answer_is_waited_for_as_one_that_comes_as_a_status(transport_to):
    with http_node(refusal(-32005, "rate limited"), (429, b"slow down"), result("0x1")) as node:
        transport = transport_to(node)
        assert transport.call("a", []) == "0x1"
    assert transport.pauses == [rpc.FIRST_PAUSE_S, 2 * rpc.FIRST_PAUSE_S]
    assert [request["id"] for request in node.requests] == [1, 1, 1]


def test_a_rate_limit_that_does_not_end_is_given_up(transport_to):
    with http_node(refusal(-32005, "rate limited")) as node:
        transport = transport_to(node)
        with pytest.raises(RateLimited, match=f"rate limited, {rpc.PATIENT_ATTEMPTS} times"):
            transport.call("a", [])
    assert len(node.requests) == rpc.PATIENT_ATTEMPTS


def test_a_pause_that_would_pass_the_deadline_is_not_begun(transport_to):
    with http_node(refusal(-32005, "rate limited")) as node:
        transport = transport_to(node, timeout_s=rpc.FIRST_PAUSE_S, clock=lambda: 0.0)
        with pytest.raises(AnswerTooSlow):
            transport.call("a", [])
    assert transport.pauses == []


@pytest.mark.parametrize(("status", "error"), [(413, AnswerTooLarge), (408, AnswerTooSlow), (504, AnswerTooSlow)])
def test_a_status_that_speaks_of_size_or_time_is_said_at_once(transport_to, status, error):
    with http_node((status, b"<html>")) as node, pytest.raises(error, match=f"HTTP {status}"):
        transport_to(node).call("a", [])
    assert len(node.requests) == 1


def test_nobody_listening_is_unavailable():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ChainUnavailable, match="refused"):
        HttpTransport(f"http://127.0.0.1:{port}", sleep=lambda _: None).call("a", [])


def test_an_answer_longer_than_the_bound_is_dropped(transport_to):
    with http_node(result("0x" + "0" * 5000)) as node, pytest.raises(AnswerTooLarge):
        transport_to(node, max_answer_bytes=4096).call("a", [])


def test_an_answer_at_the_bound_is_read(transport_to):
    status, body = result("0x" + "0" * 4000)
    with http_node((status, body)) as node:
        assert transport_to(node, max_answer_bytes=len(body)).call("a", [])


def test_a_silent_node_is_given_up_without_a_second_wait():
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport = HttpTransport(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.05, sleep=lambda _: None)
        with pytest.raises(AnswerTooSlow):
            transport.call("a", [])


STATUS = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("beginning", "error", "reason"),
    [
        (b"", ChainUnavailable, "the end of its headers"),
        (STATUS + b"X-Slow: ", ChainUnavailable, "the end of its headers"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", ChainUnavailable, "the end of its headers"),
        (STATUS + b"\r\n", AnswerTooSlow, "no whole answer"),
        (STATUS + b"Content-Length: 100000\r\n\r\n", AnswerTooSlow, "no whole answer"),
        (STATUS + b"Transfer-Encoding: chunked\r\n\r\n", AnswerTooSlow, "no whole answer"),
    ],
    ids=["status", "header", "after 100", "body", "counted body", "chunk"],
)
def test_a_node_that_sends_a_byte_now_and_then_is_given_up_at_the_deadline(beginning, error, reason):
    # A long body may come in time where less is asked for. A head is never long: who asks again waits as long again.
    began = time.monotonic()
    with dribbling_node(beginning) as url:
        transport = HttpTransport(url, timeout_s=0.3, sleep=lambda _: None)
        with pytest.raises(ChainUnavailable, match=rf"{reason} within 0\.3 s") as caught:
            transport.call("a", [])
        transport.close()
    assert caught.type is error
    assert 0.3 <= time.monotonic() - began < 3


def test_what_was_waited_for_once_is_not_waited_for_again_on_a_kept_connection():
    # The socket's own timeout was set by the first exchange; the second one has a deadline of its own.
    now = [0.0]
    with http_node(result("0x1", 1), result("0x2", 2)) as node:
        transport = HttpTransport(node.url, timeout_s=5, clock=lambda: now[0])
        assert transport.call("a", []) == "0x1"
        now[0] = 1_000
        assert transport.call("a", []) == "0x2"
        transport.close()
    assert node.connections == 1


def test_an_answer_in_one_byte_chunks_stays_within_memory():
    body = result("0x" + "0" * 50_000)[1]
    chunked = STATUS + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    with raw_node(chunked + b"0\r\n\r\n") as (url, _):
        transport = HttpTransport(url)
        with peak_below(2 * MIB):
            assert len(transport.call("a", [])) == 50_002
        transport.close()


def test_an_announced_length_beyond_the_bound_is_not_waited_for():
    with raw_node(STATUS + b"Content-Length: 99999999999\r\n\r\n" + b" " * 5_000) as (url, _):
        transport = HttpTransport(url, max_answer_bytes=4096)
        with pytest.raises(AnswerTooLarge):
            transport.call("a", [])
        transport.close()


def test_a_refusal_carries_code_message_and_revert_data(transport_to):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": "reverted", "data": "0x0102"}})
    with http_node((200, body.encode())) as node, pytest.raises(ChainRejected) as caught:
        transport_to(node).call("a", [])
    assert (caught.value.code, caught.value.message, caught.value.data) == (3, "reverted", b"\x01\x02")


def test_a_refusal_in_a_bad_request_is_a_refusal(transport_to):
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32602, "message": "no"}})
    with http_node((400, body.encode())) as node, pytest.raises(ChainRejected):
        transport_to(node).call("a", [])


def test_a_web_page_instead_of_an_answer_is_unavailable(transport_to):
    with http_node((404, b"<html>")) as node, pytest.raises(ChainUnavailable, match="HTTP 404"):
        transport_to(node).call("a", [])


@pytest.mark.parametrize("url", ["", "ftp://node", "node:8545", "http://"])
def test_an_address_that_is_no_http_url_is_refused(url):
    with pytest.raises(ChainUnavailable, match="must start with http"):
        HttpTransport(url)


def test_an_error_does_not_show_the_key_in_the_address():
    transport = HttpTransport("https://user:hunter2@node.example/v3/key123?token=t")
    assert transport.name == "https://node.example"


def test_a_user_in_the_address_becomes_a_header():
    with http_node(result(1)) as node:
        transport = HttpTransport(node.url.replace("//", "//me:secret@"))
        transport.call("a", [])
        transport.close()
    assert node.headers[0]["Authorization"] == "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize("url", ["http://node:99999", "http://node:x"])
def test_a_port_that_is_none_is_refused(url):
    with pytest.raises(ChainUnavailable, match="port"):
        HttpTransport(url)


def test_an_answer_cut_short_is_asked_for_again_and_then_given_up():
    with raw_node(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{") as (url, served):
        transport = HttpTransport(url, sleep=lambda _: None)
        with pytest.raises(ChainUnavailable, match="IncompleteRead"):
            transport.call("a", [])
        transport.close()
    assert len(served) == rpc.ATTEMPTS


MANY_HEADERS = b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"
LONG_HEADER = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000


@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", MANY_HEADERS, LONG_HEADER])
def test_a_head_that_is_no_http_is_unavailable(head):
    with raw_node(head) as (url, _):
        transport = HttpTransport(url, sleep=lambda _: None)
        with pytest.raises(ChainUnavailable):
            transport.call("a", [])
        transport.close()


def test_headers_as_long_as_they_may_be_stay_within_memory():
    head = STATUS + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 65_000) for number in range(90))
    body = result("0x1")[1]
    with raw_node(head + b"Content-Length: %d\r\n\r\n" % len(body) + body) as (url, _):
        transport = HttpTransport(url)
        with peak_below(64 * MIB):
            assert transport.call("a", []) == "0x1"
        transport.close()
