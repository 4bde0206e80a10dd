"""`tallystick-server log create` and `log rotate`."""

from __future__ import annotations

from contextlib import closing

import click

from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.ids import Address, checksum_address, parse_address, to_hex
from tallystick_platform.anchor.bootstrap import Promises, create_log, send_until
from tallystick_platform.anchor.errors import NotAnchored
from tallystick_platform.cli.chains import RPC_TIMEOUT_S, Signing, location_of, reached, signer_of
from tallystick_platform.cli.output import fail, show
from tallystick_platform.keyring import open_keyring
from tallystick_platform.ledger_chain.client import LedgerClient, LogOnChain
from tallystick_platform.ledger_chain.keys import read_key_file
from tallystick_platform.ledger_chain.signers import Signer
from tallystick_platform.settings import Mode, Settings, load_settings
from tallystick_platform.store.adoption import AdoptionStore
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs


def create(
    *,
    rpc: str,
    keeper: str,
    writer: str | None,
    promise_s: int | None,
    skew_s: int | None,
    contract: str | None,
    signing: Signing,
    as_json: bool,
) -> None:
    """Make a log."""
    settings = load_settings()
    named = signing.key is not None or signing.signer_url is not None
    signer = signer_of(signing, None if named else open_keyring(settings).operator)
    promises = Promises(
        keeper=parse_address(keeper),
        promise=settings.log_promise_s if promise_s is None else promise_s,
        skew=settings.log_skew_s if skew_s is None else skew_s,
    )
    writes = signer.address if writer is None else parse_address(writer)
    click.echo(f"making a log for writer {checksum_address(writes)}; this waits for blocks", err=True)
    with closing(HttpTransport(rpc, RPC_TIMEOUT_S)) as transport:
        where = create_log(
            transport,
            signer,
            promises,
            writer=writes,
            contract=None if contract is None else parse_address(contract),
        )
    shown = {
        "TALLYSTICK_CHAIN_ID": str(where.chain_id),
        "TALLYSTICK_CONTRACT": checksum_address(where.contract),
        "TALLYSTICK_LOG_ID": to_hex(where.log_id),
    }
    show(shown, as_json=as_json, text="\n".join(f"{name}={value}" for name, value in shown.items()))


def rotate(*, writer: str, last_admission: int | None, signing: Signing, as_json: bool) -> None:
    """Name another writer of this home's log, by the keeper's key. The server must be stopped and everything anchored."""
    settings = load_settings()
    keys = open_keyring(settings)
    new_writer = parse_address(writer)
    with reached(settings, keys.operator.address) as transport:
        location = location_of(settings, transport)
        if location is None:
            fail("this home folder has no log yet", as_json=as_json)
        log = LogOnChain(contract=location.contract, log_id=location.log_id)
        reader = LedgerReader(transport, log.contract, log.log_id)
        state, keeper = reader.log_state(), reader.log_terms().keeper
        signer = _keeper(settings, signing)
        if signer.address != keeper:
            found = checksum_address(signer.address)
            fail(f"the log's keeper is {checksum_address(keeper)}, this key is {found}'s", as_json=as_json)
        last = last_admission
        if last is None:
            last = _last_admission(settings, RowMacs(keys.operator.secret), log, state.entries)
        client = LedgerClient(transport, signer, location.chain_id)
        transaction = client.build_rotate(client.nonce(), log, state.head, new_writer, last)

        def done() -> bool:
            return reader.log_state().writer == new_writer

        send_until(client, transaction, done, "the change of the writer")
        if settings.embedded_chain:
            _fund(client, new_writer)
    shown = {"log_id": to_hex(log.log_id), "writer": checksum_address(new_writer), "last_admission": last}
    text = (
        f"{checksum_address(new_writer)} writes the log from now on; numbers up to {last} are its predecessor's.\n"
        "Set TALLYSTICK_OPERATOR_KEY_FILE to its key, then: tallystick-server journal adopt --previous-key FILE"
    )
    show(shown, as_json=as_json, text=text)


def _fund(keeper: LedgerClient, writer: Address) -> None:
    """On the embedded chain only the keeper has something that the new writer can pay its gas with: half of it."""
    if not keeper.balance(writer):
        transfer = keeper.build_transfer(keeper.nonce(), writer, keeper.balance() // 2)
        send_until(keeper, transfer, lambda: keeper.balance(writer) > 0, "the new writer's balance")


def _keeper(settings: Settings, signing: Signing) -> Signer:
    """The keeper's signer: as it was named, else the key that development mode generated."""
    path = settings.paths.keeper_key
    generated = read_key_file(path) if settings.mode is Mode.DEVELOPMENT and path.exists() else None
    return signer_of(signing, generated)


def _last_admission(settings: Settings, macs: RowMacs, log: LogOnChain, entries: int) -> int:
    """The highest number that the present writer gave out, by a journal that has anchored everything.

    Raises: StoreLocked, NotAnchored
    """
    database = Database.open(settings.paths.journal_path)
    try:
        database.lock()
        batches, store = Batches(database, macs, log.log_id), AdoptionStore(database, macs)
        waiting = batches.depth().records
        if waiting or batches.next_epoch() or batches.next_void() or batches.tip().entries != entries:
            raise NotAnchored(records=waiting)
        return store.next_numbers()[0] - 1
    finally:
        database.close()
