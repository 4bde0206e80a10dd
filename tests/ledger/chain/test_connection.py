import json
import socket
import threading
import time

import pytest

from tallystick.chain.connection import Deadline, TimedSocket, open_socket, resolve
from tallystick.chain.rpc import HttpTransport
from tallystick.chain.wire import AnswerTooSlow
from tallystick.errors import ChainUnavailable
from tests.support.certificates import loopback_tls
from tests.support.nodes import dribbling_node, raw_node

OK = b"HTTP/1.1 200 OK\r\n"
SHORT_S = 0.3


def found(*addresses):
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address) for address in addresses]


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def secure(url):
    return url.replace("http:", "https:")


def test_a_deadline_is_one_moment_however_often_it_is_asked_about():
    now = [10.0]
    deadline = Deadline(5, lambda: now[0])
    assert deadline.left_s() == 5
    now[0] = 14
    assert deadline.left_s() == 1
    now[0] = 15
    with pytest.raises(TimeoutError):
        deadline.left_s()


def test_a_node_with_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    context, _ = loopback_tls(tmp_path)
    with raw_node(b"", context) as (url, _):
        transport = HttpTransport(secure(url), sleep=lambda _: None)
        with pytest.raises(ChainUnavailable, match="certificate verify failed"):
            transport.call("a", [])


def test_an_answer_of_many_records_comes_over_tls(tmp_path, monkeypatch):
    context, pem = loopback_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    body = json.dumps({"id": 1, "result": "0x" + "ab" * 100_000}).encode()
    with raw_node(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body, context) as (url, _):
        transport = HttpTransport(secure(url))
        assert transport.call("a", ["x" * 100_000]) == "0x" + "ab" * 100_000
        transport.close()


def test_a_node_that_sends_a_byte_now_and_then_over_tls_is_given_up_at_the_deadline(tmp_path, monkeypatch):
    context, pem = loopback_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    began = time.monotonic()
    with dribbling_node(OK + b"X-Slow: ", context) as url:
        transport = HttpTransport(secure(url), timeout_s=SHORT_S)
        with pytest.raises(ChainUnavailable, match="the end of its headers"):
            transport.call("a", [])
        transport.close()
    assert SHORT_S <= time.monotonic() - began < 3


def test_a_node_that_never_shakes_hands_is_given_up_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = HttpTransport(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout_s=SHORT_S)
        with pytest.raises(AnswerTooSlow):
            transport.call("a", [])


def test_a_resolver_that_does_not_answer_is_left_behind_at_the_deadline(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(10) and [])
    try:
        with pytest.raises(AnswerTooSlow):
            HttpTransport("http://node.example", timeout_s=0.05).call("a", [])
    finally:
        answered.set()


def test_a_name_that_nobody_knows_is_told(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(socket.gaierror):
        resolve("node.example", 80, Deadline(5, time.monotonic))


def test_the_next_address_is_tried_where_one_does_not_answer(monkeypatch, closed_port):
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found(("127.0.0.1", closed_port), here))
        with open_socket("node.example", 80, Deadline(5, time.monotonic)) as opened:
            assert opened.getpeername() == here
            assert isinstance(opened, TimedSocket)


@pytest.mark.parametrize("addresses", [0, 2])
def test_where_no_address_answers_it_is_an_error(monkeypatch, closed_port, addresses):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found(*[("127.0.0.1", closed_port)] * addresses))
    with pytest.raises(OSError, match="refused" if addresses else "no address"):
        open_socket("node.example", 80, Deadline(5, time.monotonic))


def test_nothing_is_sent_after_the_deadline():
    ours, theirs = socket.socketpair()
    now = [0.0]
    with theirs, TimedSocket(fileno=ours.detach()) as timed:
        timed.deadline = Deadline(1, lambda: now[0])
        timed.sendall(b"in time")
        now[0] = 1
        with pytest.raises(TimeoutError):
            timed.sendall(b"too late")
        with pytest.raises(TimeoutError):
            timed.recv_into(bytearray(1))
        assert theirs.recv(100) == b"in time"


def test_a_peer_that_reads_nothing_is_given_up_at_the_deadline():
    ours, theirs = socket.socketpair()
    with theirs, TimedSocket(fileno=ours.detach()) as timed:
        timed.deadline = Deadline(0.1, time.monotonic)
        with pytest.raises(TimeoutError):
            timed.sendall(bytes(50_000_000))
