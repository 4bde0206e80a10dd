"""What can go wrong with the embedded chain: reasons not to open it, and refusals of a question put to it."""

from __future__ import annotations

from pathlib import Path

from tallystick_platform.errors import PlatformError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
LIMIT_EXCEEDED = -32005
"""The code on which clients ask again for less. Source: EIP-1474."""
EXECUTION_REVERTED = 3
"""The code with which every client expects revert data."""


class ChainLocked(PlatformError):
    """Another process owns this chain."""

    def __init__(self, *, path: Path) -> None:
        super().__init__(f"{path}: another process owns this chain")


class GenesisMismatch(PlatformError):
    """The chain on disk is not the chain that was asked for."""

    def __init__(self, *, path: Path, what: str, stored: str, asked: str) -> None:
        super().__init__(f"{path}: the chain's {what} is {stored}, not {asked}")


class ChainStorageFailed(PlatformError):
    """A block could not be written; it does not exist, and its transactions wait on."""

    def __init__(self, *, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Refused(PlatformError):
    """The answer to a question is no: a JSON-RPC error object."""

    def __init__(self, rpc_code: int, message: str, data: bytes | None = None) -> None:
        super().__init__(message)
        self.rpc_code = rpc_code
        self.message = message
        self.data = data


class BadParams(Refused):
    """The parameters are not what the method takes."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(INVALID_PARAMS, f"{what}: {reason}")


class TransactionRefused(Refused):
    """A transaction is not taken into the pool."""

    def __init__(self, reason: str) -> None:
        super().__init__(SERVER_ERROR, reason)
