"""Where the log is: chain, contract and log id, and the small file that remembers them."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tallystick.errors import TallystickError
from tallystick.ids import Address, LogId, checksum_address, parse_address, parse_hash, to_hex
from tallystick_platform.anchor.errors import LocationUnreadable

FILE_NAME = "ledger.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLocation:
    """One log on one chain."""

    chain_id: int
    contract: Address
    log_id: LogId


def read_location(path: Path) -> LedgerLocation | None:
    """The remembered location; None if there is no file.

    Raises: LocationUnreadable
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocationUnreadable(path=path, reason=str(error)) from error
    try:
        document = json.loads(data)
        if (
            not isinstance(document, dict)
            or document.get("format") != FORMAT
            or not isinstance(document["chain_id"], int)
        ):
            raise LocationUnreadable(path=path, reason=f"is not a location of format {FORMAT}")
        return LedgerLocation(
            chain_id=document["chain_id"],
            contract=parse_address(document["contract"]),
            log_id=LogId(parse_hash(document["log_id"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, TallystickError) as error:
        raise LocationUnreadable(path=path, reason=f"is malformed: {error}") from error


def write_location(path: Path, location: LedgerLocation) -> None:
    """Remember a location. Durable on return; a crash leaves the old file or the new one, never part of one.

    Raises: LocationUnreadable
    """
    document = {
        "format": FORMAT,
        "chain_id": location.chain_id,
        "contract": checksum_address(location.contract),
        "log_id": to_hex(location.log_id),
    }
    draft = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(json.dumps(document, indent=2).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise LocationUnreadable(path=path, reason=f"cannot be written: {error}") from error
