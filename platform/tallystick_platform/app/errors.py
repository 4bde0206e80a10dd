"""What can keep the service from starting."""

from __future__ import annotations

from tallystick_platform.errors import PlatformError


class ChainNotStarted(PlatformError):
    """The embedded chain's process did not become ready."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the embedded chain did not start: {reason}")
        self.reason = reason


class AddressUnavailable(PlatformError):
    """The API cannot listen where it was told to."""

    def __init__(self, *, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason} (TALLYSTICK_HOST, TALLYSTICK_PORT)")
        self.host = host
        self.port = port
        self.reason = reason
