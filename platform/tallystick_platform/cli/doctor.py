"""`tallystick-server doctor`: what would keep the service from starting or working, found without starting it."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import StrEnum

from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.errors import TallystickError
from tallystick.ids import Address, LogId, checksum_address
from tallystick_platform.anchor.bootstrap import check_log
from tallystick_platform.app.chain_process import ChainNotInstalled, embedded_chain_installed, how_to_install
from tallystick_platform.app.listening import AddressUnavailable, bind
from tallystick_platform.cli.chains import location_of
from tallystick_platform.cli.output import EXIT_FOUND, show, table
from tallystick_platform.errors import PlatformError
from tallystick_platform.formats.packaged import PACKAGED
from tallystick_platform.keyring import open_keyring
from tallystick_platform.ledger_chain.client import LedgerClient
from tallystick_platform.ledger_chain.signers import Fees, KeySigner, RemoteSigner, Unsigned
from tallystick_platform.settings import Mode, Settings, load_settings
from tallystick_platform.store.database import Database

MIN_FREE_BYTES = 1_073_741_824
MAX_CLOCK_SKEW_S = 60
RPC_TIMEOUT_S = 5.0
TEST_TRANSACTION = Unsigned(
    chain_id=1, nonce=2**63, to=None, data=b"", gas=0, fees=Fees(max_fee_per_gas=0, max_priority_fee_per_gas=0)
)
"""What a signer is asked to sign to see whether it does: no chain can take it, whoever may get hold of it."""


class Mark(StrEnum):
    """How an examination came out."""

    GOOD = "good"
    BAD = "bad"
    NOT_EXAMINED = "not examined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One thing that was looked at."""

    what: str
    mark: Mark
    detail: str


def examine(*, as_json: bool) -> None:
    """Look at everything; a fault in one place does not hide the next."""
    found = list(_examinations())
    rows = [(each.what, each.mark.value, each.detail) for each in found]
    show([asdict(each) for each in found], as_json=as_json, text=table(("what", "result", "detail"), rows))
    if any(each.mark is Mark.BAD for each in found):
        sys.exit(EXIT_FOUND)


def _examinations() -> Iterator[Examined]:
    try:
        settings = load_settings()
    except PlatformError as error:
        yield Examined(what="settings", mark=Mark.BAD, detail=str(error))
        return
    yield Examined(what="settings", mark=Mark.GOOD, detail=f"{settings.mode.value} mode, home {settings.paths.home}")
    for what, look in (
        ("keys", _keys),
        ("journal", _journal),
        ("disk", _disk),
        ("api port", _api_port),
        ("chain", _chain),
        ("log", _log),
        ("signer", _signer),
        ("model", _model),
    ):
        try:
            mark, detail = look(settings)
        except (PlatformError, TallystickError, OSError, ValueError) as error:
            mark, detail = Mark.BAD, str(error)
        yield Examined(what=what, mark=mark, detail=detail)


def _keys(settings: Settings) -> tuple[Mark, str]:
    if settings.mode is Mode.DEVELOPMENT and not settings.paths.keys_dir.exists():
        return Mark.GOOD, "none yet: they are made at the first start"
    keys = open_keyring(settings)
    return Mark.GOOD, f"the operator's wallet and {len(keys.auditors)} auditor key(s)"


def _journal(settings: Settings) -> tuple[Mark, str]:
    path = settings.paths.journal_path
    if not path.exists():
        return Mark.GOOD, "none yet: it is made at the first start"
    database = Database.open(path)
    try:
        database.lock()
    except PlatformError:
        return Mark.GOOD, "in use by a running server"
    finally:
        database.close()
    return Mark.GOOD, f"{path.stat().st_size} bytes"


def _disk(settings: Settings) -> tuple[Mark, str]:
    folder = settings.paths.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    mark = Mark.GOOD if free >= MIN_FREE_BYTES else Mark.BAD
    return mark, f"{free // 1_048_576} MiB free, {MIN_FREE_BYTES // 1_048_576} MiB wanted"


def _api_port(settings: Settings) -> tuple[Mark, str]:
    try:
        bind(settings.host, settings.port).close()
    except AddressUnavailable as error:
        if _answers(settings.host, settings.port):
            return Mark.BAD, f"{error}; something answers there, perhaps a running server"
        raise
    return Mark.GOOD, f"{settings.host}:{settings.port} is free"


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _chain(settings: Settings) -> tuple[Mark, str]:
    if settings.chain_rpc is None:
        if not embedded_chain_installed():
            return Mark.BAD, str(ChainNotInstalled())
        if settings.mode is Mode.PRODUCTION:
            return (
                Mark.BAD,
                "embedded, which nobody else can read: set TALLYSTICK_CHAIN_RPC to a node of the chain that you chose",
            )
        return Mark.GOOD, "embedded"
    with closing(HttpTransport(settings.chain_rpc, RPC_TIMEOUT_S)) as transport:
        reader = LedgerReader(transport, Address(bytes(20)), LogId(bytes(32)))
        chain_id, block = reader.chain_id(), reader.latest_block()
    if chain_id != settings.chain_id:
        return Mark.BAD, f"the node's chain id is {chain_id}, TALLYSTICK_CHAIN_ID is {settings.chain_id}"
    skew_s = block.timestamp - int(time.time())
    if skew_s > MAX_CLOCK_SKEW_S:
        return Mark.BAD, f"the newest block is {skew_s} s ahead of this machine's clock"
    return Mark.GOOD, f"chain {chain_id}, block {block.number}, {-skew_s} s old"


def _log(settings: Settings) -> tuple[Mark, str]:
    """The log on a node of the operator's own: its contract, its writer, and whether that can pay."""
    if settings.chain_rpc is None:
        return Mark.NOT_EXAMINED, "the embedded chain's is found or made when the service starts"
    if settings.contract is None or settings.log_id is None:
        return Mark.BAD, "set TALLYSTICK_CONTRACT and TALLYSTICK_LOG_ID; `tallystick-server log create` makes a log"
    operator = open_keyring(settings).operator
    with closing(HttpTransport(settings.chain_rpc, RPC_TIMEOUT_S)) as transport:
        location = location_of(settings, transport)
        if location is None:
            return Mark.BAD, "the settings name no log"
        check_log(transport, operator.address, location)
        balance = LedgerClient(transport, KeySigner(operator), location.chain_id).balance()
    settings.check_promise(location.terms.promise)
    what = f"{checksum_address(operator.address)} writes it and holds {balance} wei; promise {location.terms.promise} s"
    return (Mark.GOOD if balance else Mark.BAD), what


def _signer(settings: Settings) -> tuple[Mark, str]:
    if settings.signer_url is None:
        return Mark.GOOD, "the operator's key signs transactions here"
    operator = open_keyring(settings).operator
    with closing(HttpTransport(settings.signer_url, RPC_TIMEOUT_S)) as transport:
        RemoteSigner(transport, operator.address, transport.name).sign(TEST_TRANSACTION)
    return (
        Mark.GOOD,
        f"{transport.name} signs transactions for {checksum_address(operator.address)}; receipts are signed here",
    )


def _model(settings: Settings) -> tuple[Mark, str]:
    if settings.model == "constant":
        return Mark.GOOD, "the constant engine, which answers without a model"
    missing = [name for name in ("torch", "transformers", "safetensors") if importlib.util.find_spec(name) is None]
    if missing:
        return Mark.BAD, f"missing packages: {', '.join(missing)}; {how_to_install('worker')}"
    if settings.model in PACKAGED:
        packaged = PACKAGED[settings.model]
        if packaged.find() is None:
            return Mark.BAD, f"the package {packaged.package} is not installed"
        return Mark.GOOD, f"the packaged model {packaged.name}"
    return Mark.NOT_EXAMINED, f"{settings.model}: a worker reads it when it starts"
