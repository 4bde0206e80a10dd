import pytest

from tallystick.errors import PullRefused
from tallystick.pull import Server, server
from tests.support.export_server import ExportServer, serving


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
