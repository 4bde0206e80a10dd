"""Which web pages may talk to the node.

It listens on loopback, but every page in a browser on this machine can reach that: so a request that a page of another site
sends is refused, also when its name was made to point here. Programs send no Origin and are let through; so are browser
wallets, and pages served from this machine.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_WALLET_SCHEMES: Final = frozenset({"chrome-extension", "moz-extension", "safari-web-extension"})


def allows_host(host: str | None) -> bool:
    """Tell whether the request was meant for this machine: a page elsewhere may have its own name resolve to loopback."""
    if not host:
        return False
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK_NAMES
    except ValueError:
        return False


def allows_origin(origin: str | None) -> bool:
    """Tell whether the page that sent the request may; None is no page."""
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
        hostname = parts.hostname
    except ValueError:
        return False
    if parts.scheme in _WALLET_SCHEMES:
        return bool(hostname)
    return parts.scheme in {"http", "https"} and hostname in LOOPBACK_NAMES


def cors_headers(origin: str | None) -> dict[str, str]:
    """Give the headers that let an allowed page read the answer."""
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "POST, OPTIONS",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Allow-Private-Network": "true",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }
