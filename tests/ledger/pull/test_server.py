import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tallystick.errors import PullRefused
from tallystick.pull import Server, server
from tests.support.export_server import ExportServer, serving


@contextlib.contextmanager
def tls_before(export, folder):
    """A TLS port with a certificate that nobody vouches for; whoever accepts it would reach the export."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def greet():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection, context.wrap_socket(connection, server_side=True) as secured:
                export.requests.append(secured.recv(1))

    thread = threading.Thread(target=greet)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    "url",
    [
        *("", "host/v1", "ftp://host/x", "http://", "http://[", "http://host:port/x", "https://user:pw@host/x"),
        *("http://host/x?a=b", "http://host/x#a", "http://host/a b", "http://host/\n", "http://höst/x"),
    ],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(PullRefused):
        Server(url, None)


@pytest.mark.parametrize("token", ["a\r\nX: y", "a b", "tökén", "\x00"])
def test_a_token_that_cannot_stand_in_a_header_is_refused_and_not_shown(token):
    with pytest.raises(PullRefused) as raised:
        Server("http://host/v1/exports/e1", token)
    assert token not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "in_clear"),
    [
        ("https://host/x", False),
        ("http://host/x", True),
        ("http://127.0.0.1:8080/x", False),
        ("http://localhost/x", False),
        ("http://[::1]/x", False),
    ],
)
def test_an_address_is_in_clear_where_others_can_read_along(url, in_clear):
    assert Server(url, None).in_clear is in_clear


def test_a_listing_beyond_its_bound_is_not_read(monkeypatch):
    monkeypatch.setattr(server, "MAX_LISTING_BYTES", 100)
    with serving(ExportServer(files={"a": b"a"}, listing=lambda document: b" " * 101)) as export:
        asked = Server(export.url, None)
        with pytest.raises(PullRefused, match="longer than 100 bytes"):
            asked.listing()
        asked.close()


def test_a_server_that_cannot_prove_its_name_is_not_asked(tmp_path):
    with serving(ExportServer(files={"a": b"a"})) as export, tls_before(export, tmp_path) as port:
        asked = Server(f"https://localhost:{port}/v1/exports/e1", "secret")
        with pytest.raises(server.Interrupted, match="certificate verify failed"):
            asked.listing()
        assert export.requests == []


def test_a_wait_that_the_server_asks_for_is_bounded():
    class Answer:
        def getheader(self, name, default):
            return self.value

    answer = Answer()
    for value, expected in (("3", 3.0), ("99999", 60.0), ("-1", None), ("1e9", None), ("", None), ("9" * 99, None)):
        answer.value = value
        assert server._retry_after(answer) == expected


def test_what_a_server_says_is_shown_shortened_and_without_control_characters():
    with serving(ExportServer(files={"a": b"a"})) as export:
        asked = Server(export.url + "x", None)
        with pytest.raises(PullRefused, match="HTTP 404") as raised:
            asked.listing()
        asked.close()
    assert str(raised.value).isprintable()
