"""What can keep the service from starting."""

from __future__ import annotations

from tallystick_platform.errors import PlatformError


def how_to_install(extra: str) -> str:
    """The commands that bring the packages of an extra, from a checkout or without one."""
    return f"pip install 'tallystick[{extra}]' (in a checkout: pip install '.[{extra}]')"


class ChainNotStarted(PlatformError):
    """The embedded chain's process did not become ready."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the embedded chain did not start: {reason}")
        self.reason = reason


class ChainNotInstalled(PlatformError):
    """The embedded chain was asked for, and its packages are not here."""

    def __init__(self) -> None:
        super().__init__(
            "no chain to write to: set TALLYSTICK_CHAIN_RPC to a node of your own, "
            f"or install the embedded chain: {how_to_install('devchain')}"
        )


class AddressUnavailable(PlatformError):
    """The API cannot listen where it was told to."""

    def __init__(self, *, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason} (TALLYSTICK_HOST, TALLYSTICK_PORT)")
        self.host = host
        self.port = port
        self.reason = reason
