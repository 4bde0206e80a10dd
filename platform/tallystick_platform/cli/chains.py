"""Reaching the chain without the service: the node that the settings name, or the embedded chain, for as long as a command needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tallystick.chain.rpc import HttpTransport
from tallystick.ids import Address, LogId, parse_address, parse_hash
from tallystick.keys import Wallet
from tallystick_platform.anchor.bootstrap import named_log
from tallystick_platform.anchor.location import FILE_NAME, LedgerLocation, read_location
from tallystick_platform.app.chain_process import ChainProcess
from tallystick_platform.errors import SettingsError
from tallystick_platform.ledger_chain.keys import read_key_file
from tallystick_platform.ledger_chain.signers import KeySigner, RemoteSigner, Signer
from tallystick_platform.settings import Settings

RPC_TIMEOUT_S = 30.0


@contextmanager
def reached(settings: Settings, operator: Address) -> Iterator[HttpTransport]:
    """A connection to the log's chain. Requires: no running service, where the chain is the embedded one.

    Raises: ChainNotInstalled, ChainNotStarted, ChainUnavailable, SettingsError where there is no embedded chain yet
    """
    if settings.chain_rpc is not None:
        transport = HttpTransport(settings.chain_rpc, RPC_TIMEOUT_S)
        try:
            yield transport
        finally:
            transport.close()
        return
    if not settings.paths.chain_path.exists():
        reason = f"{settings.paths.chain_path} does not exist: there is no embedded chain in this home folder"
        raise SettingsError(setting="TALLYSTICK_HOME", reason=reason)
    chain = ChainProcess(path=settings.paths.chain_path, port=0, chain_id=settings.chain_id, prefund=[operator])
    with asyncio.Runner() as runner:
        try:
            transport = HttpTransport(runner.run(chain.start()), RPC_TIMEOUT_S)
            try:
                yield transport
            finally:
                transport.close()
        finally:
            runner.run(chain.stop())


def location_of(settings: Settings, transport: HttpTransport | None = None) -> LedgerLocation | None:
    """The log of this home folder: the one that the settings name, else the one that the folder remembers; None if there is none yet.

    A named log that the folder does not remember is asked for on the chain, if there is a `transport`.

    Raises: LocationUnreadable, SettingsError, BootstrapError, ChainUnavailable, ChainRejected
    """
    known = read_location(settings.paths.home / FILE_NAME)
    if settings.contract is None or settings.log_id is None:
        return known
    contract, log_id = parse_address(settings.contract), LogId(parse_hash(settings.log_id))
    if known is not None and (known.contract, known.log_id) == (contract, log_id):
        return known
    return None if transport is None else named_log(transport, settings.chain_id, contract, log_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Who signs: a key file, or a remote signer."""

    key: Path | None
    password_file: Path | None
    signer_url: str | None
    account: str | None


def signer_of(signing: Signing, default: Wallet | None) -> Signer:
    """Who signs for a command: the key in a file, a remote signer for an account, or else the default.

    Raises: SettingsError, KeyFileError
    """
    if signing.signer_url is not None:
        if signing.key is not None or signing.account is None:
            raise SettingsError(setting="--signer-url", reason="goes with --account, and without a key file")
        transport = HttpTransport(signing.signer_url, RPC_TIMEOUT_S)
        return RemoteSigner(transport, parse_address(signing.account), transport.name)
    if signing.key is not None:
        return KeySigner(read_key_file(signing.key, signing.password_file, named_by="--password-file"))
    if default is None:
        raise SettingsError(setting="--key", reason="must name a key file, or say --signer-url and --account")
    return KeySigner(default)
