"""Reading the parameters of JSON-RPC methods: what is malformed is refused by name, with -32602."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from tallystick.chain.wire import UINT64_MAX, UINT256_MAX, MalformedAnswer, read_data, read_quantity
from tallystick_platform.embedded_chain.errors import BadParams
from tallystick_platform.embedded_chain.execution import CALL_GAS_CAP, CallRequest

TAGS: Final = frozenset({"latest", "pending", "safe", "finalized"})
"""One producer and no forks: every block is final, and what is pending has no state of its own."""
MAX_FILTER_CHOICES: Final = 64
MAX_ACCESS_ENTRIES: Final = 1024
MAX_INPUT_BYTES: Final = 1 << 18
_CALL_KEYS: Final = frozenset(
    {"from", "to", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "data", "input"}
    | {"nonce", "type", "chainId", "accessList"}
)
T = TypeVar("T")


class Params:
    """The positional parameters of one request."""

    def __init__(self, values: object, most: int) -> None:
        """Raises: BadParams unless they are an array of at most `most`."""
        if values is None:
            values = []
        if not isinstance(values, list):
            raise BadParams("params", "must be an array")
        if len(values) > most:
            raise BadParams("params", f"too many: at most {most}")
        self._values: list[object] = values

    def optional(self, position: int) -> object:
        """Give a parameter, or None."""
        return self._values[position] if position < len(self._values) else None

    def required(self, position: int, name: str) -> object:
        """Give a parameter that must be there."""
        value = self.optional(position)
        if value is None:
            raise BadParams(name, f"missing value for required argument {position}")
        return value

    def address(self, position: int) -> bytes:
        """Give an address."""
        return read_bytes(self.required(position, "address"), "address", 20)

    def hash(self, position: int, name: str = "hash") -> bytes:
        """Give 32 bytes."""
        return read_bytes(self.required(position, name), name, 32)

    def quantity(self, position: int, name: str, max_value: int = UINT64_MAX) -> int:
        """Give a hex quantity."""
        return read_number(self.required(position, name), name, max_value)

    def flag(self, position: int, name: str) -> bool:
        """Give a boolean, False where it is missing."""
        value = self.optional(position)
        if value is not None and not isinstance(value, bool):
            raise BadParams(name, "must be a boolean")
        return bool(value)


def read_bytes(value: object, name: str, size: int | None = None, max_size: int = MAX_INPUT_BYTES) -> bytes:
    """Read hex bytes."""
    return _reading(name, lambda: read_data(value, name, size, max_size))


def read_number(value: object, name: str, max_value: int = UINT64_MAX) -> int:
    """Read a hex quantity."""
    return _reading(name, lambda: read_quantity(value, name, max_value))


def read_call(value: object) -> CallRequest:
    """Read the call object of `eth_call` and `eth_estimateGas`."""
    if not isinstance(value, dict):
        raise BadParams("call", "must be an object")
    for key in value:
        if key not in _CALL_KEYS:
            raise BadParams("call", f"unknown member {key!r}")
    data, alias = value.get("data"), value.get("input")
    if data is not None and alias is not None and data != alias:
        raise BadParams("call", 'both "data" and "input" are set and not equal')
    chosen = alias if data is None else data
    price = value.get("gasPrice", value.get("maxFeePerGas"))
    gas = value.get("gas")
    return CallRequest(
        sender=bytes(20) if value.get("from") is None else read_bytes(value["from"], "from", 20),
        to=None if value.get("to") is None else read_bytes(value["to"], "to", 20),
        data=b"" if chosen is None else read_bytes(chosen, "data"),
        value=0 if value.get("value") is None else read_number(value["value"], "value", UINT256_MAX),
        gas=CALL_GAS_CAP if gas is None else min(CALL_GAS_CAP, read_number(gas, "gas")),
        gas_price=0 if price is None else read_number(price, "gas price", UINT256_MAX),
        access=_read_access(value.get("accessList")),
    )


def read_addresses(value: object) -> tuple[bytes, ...]:
    """Read the `address` of a log filter: one, several or none."""
    choices = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(read_bytes(choice, "address", 20) for choice in _bounded(choices, "address"))


def read_topics(value: object) -> tuple[tuple[bytes, ...], ...]:
    """Read the `topics` of a log filter: for each position one topic, several or null."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 4:
        raise BadParams("topics", "must be an array of at most 4")
    positions = []
    for position in value:
        choices = position if isinstance(position, list) else [] if position is None else [position]
        bounded = _bounded(choices, "topics")
        # A null among several choices lets everything through.
        chosen = () if None in bounded else tuple(read_bytes(topic, "topic", 32) for topic in bounded)
        positions.append(chosen)
    return tuple(positions)


def _bounded(choices: list[object], name: str) -> list[object]:
    if len(choices) > MAX_FILTER_CHOICES:
        raise BadParams(name, f"more than {MAX_FILTER_CHOICES} choices")
    return choices


def _read_access(value: object) -> tuple[tuple[bytes, tuple[int, ...]], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ACCESS_ENTRIES:
        raise BadParams("accessList", f"must be an array of at most {MAX_ACCESS_ENTRIES}")
    entries = []
    for entry in value:
        if not isinstance(entry, dict) or not isinstance(entry.get("storageKeys", []), list):
            raise BadParams("accessList", "must hold objects with address and storageKeys")
        keys = entry.get("storageKeys", [])
        if len(keys) > MAX_ACCESS_ENTRIES:
            raise BadParams("accessList", f"more than {MAX_ACCESS_ENTRIES} storage keys")
        slots = tuple(int.from_bytes(read_bytes(key, "storage key", 32), "big") for key in keys)
        entries.append((read_bytes(entry.get("address"), "access list address", 20), slots))
    return tuple(entries)


def _reading(name: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except MalformedAnswer as error:
        raise BadParams(name, error.reason.removeprefix(f"{name} ")) from error
