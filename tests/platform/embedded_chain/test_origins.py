import pytest

from tallystick_platform.embedded_chain.server import allows_host, allows_origin, cors_headers


@pytest.mark.parametrize("host", ["localhost:8545", "127.0.0.1:8545", "127.0.0.1", "[::1]:8545", "LOCALHOST"])
def test_this_machine_may_be_asked_for(host):
    assert allows_host(host)


@pytest.mark.parametrize(
    "host", [None, "", "evil.example:8545", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "10.0.0.1"]
)
def test_another_name_is_refused(host):
    assert not allows_host(host)


ALLOWED = [
    None,
    "http://localhost:3000",
    "https://127.0.0.1",
    "http://[::1]:5173",
    "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn",
    "moz-extension://2b7e0d1c",
]
REFUSED = [
    "https://evil.example",
    "null",
    "",
    "http://localhost.evil.example",
    "http://evil.example#localhost",
    "file://",
    "chrome-extension://",
    "http://[::1",
    "http://user@evil.example",
]


@pytest.mark.parametrize("origin", ALLOWED)
def test_programs_local_pages_and_wallets_are_let_through(origin):
    assert allows_origin(origin)


@pytest.mark.parametrize("origin", REFUSED)
def test_pages_of_other_sites_are_refused(origin):
    assert not allows_origin(origin)


def test_only_a_page_gets_headers_and_they_name_it_alone():
    assert cors_headers(None) == {}
    headers = cors_headers("http://localhost:3000")
    assert headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert headers["Vary"] == "Origin"
