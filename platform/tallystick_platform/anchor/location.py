"""Where the log is and what it promised: chain, contract and terms, and the small file that remembers them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.errors import TallystickError
from tallystick.heads import LogTerms, derive_log_id
from tallystick.ids import Address, LogId, checksum_address, parse_address, parse_hash, to_hex
from tallystick.keys import sync_folder
from tallystick_platform.anchor.errors import LocationUnreadable

FILE_NAME = "ledger.json"
FORMAT = "tallystick/location/v2"
MAX_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLocation:
    """One log on one chain. Its identifier follows from where it is and what it promised."""

    chain_id: int
    contract: Address
    terms: LogTerms

    @property
    def log_id(self) -> LogId:
        """The log's identifier. Source: ledger/SPEC.md section 6"""
        return derive_log_id(self.chain_id, self.contract, self.terms)


def read_location(path: Path) -> LedgerLocation | None:
    """The remembered location; None if there is no file.

    Raises: LocationUnreadable
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocationUnreadable(path=path, reason=str(error)) from error
    try:
        return _location_of(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, TallystickError) as error:
        raise LocationUnreadable(path=path, reason=f"is malformed: {error}") from error


def _location_of(document: dict[str, Any]) -> LedgerLocation:
    if document["format"] != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    terms = document["terms"]
    location = LedgerLocation(
        chain_id=_number(document["chain_id"]),
        contract=parse_address(document["contract"]),
        terms=LogTerms(**{name: read(terms[name]) for name, (read, _) in _TERMS.items()}),
    )
    if location.log_id != parse_hash(document["log_id"]):
        raise ValueError("its log_id does not follow from its terms")
    return location


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a number is none")
    return value


_ADDRESS = (parse_address, checksum_address)
_NUMBER = (_number, _number)
_TERMS: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], object]]] = {
    "creator": _ADDRESS, "salt": (parse_hash, to_hex), "writer": _ADDRESS, "keeper": _ADDRESS,
    "format": _NUMBER, "mode": _NUMBER, "promise": _NUMBER, "skew": _NUMBER,
}  # fmt: skip
"""How each term is read, and how it is written."""


def write_location(path: Path, location: LedgerLocation) -> None:
    """Remember a location. Durable on return; a crash leaves the old file or the new one, never part of one.

    Raises: LocationUnreadable
    """
    document = {
        "format": FORMAT,
        "chain_id": location.chain_id,
        "contract": checksum_address(location.contract),
        "log_id": to_hex(location.log_id),
        "terms": {name: write(getattr(location.terms, name)) for name, (_, write) in _TERMS.items()},
    }
    draft = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(json.dumps(document, indent=2).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise LocationUnreadable(path=path, reason=f"cannot be written: {error}") from error
