"""Finding the log, or making it: what must stand on the chain before anything is journaled.

On the embedded chain the service makes what is missing, in steps that a crash may cut anywhere:

1. The contract's address is known before it is deployed, from the deployer and its nonce. It is written to `ledger.json` first, with the
   terms of the log to be. *A crash here: the file names an address without code, and the next start deploys to that very address.*
2. Deploy. *A crash here: the next start finds code at the address. Without the file it finds the contract among the addresses of the
   wallet's first nonces.*
3. Create the log. Its id follows from chain, contract and terms with a fixed salt, so a second attempt finds it instead of making another.

Lost with the whole chain folder, contract and log come back under the same address and id, and the anchorer appends everything again.
On somebody else's chain nothing is made unasked: contract and log must be named, and they are checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tallystick.chain.artifact import load_artifact
from tallystick.chain.faults import ContractMissing, EventsWithheld, LogMissing
from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import Transport
from tallystick.chain.transaction import contract_address
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.heads import FORMAT, MODE_APPEND, LogTerms
from tallystick.ids import Address, LogId, checksum_address, parse_address, parse_hash, to_hex
from tallystick_platform.anchor.courier import Refusal, classify
from tallystick_platform.anchor.errors import (
    ContractAbsent,
    ContractDiffers,
    LedgerLost,
    LogAbsent,
    LogModeUnknown,
    NotMinedInTime,
    SetupReverted,
    TermsDiffer,
    WriterChanged,
    WrongChain,
)
from tallystick_platform.anchor.location import FILE_NAME, LedgerLocation, read_location, write_location
from tallystick_platform.errors import SettingsError
from tallystick_platform.ledger_chain.client import LedgerClient
from tallystick_platform.ledger_chain.signers import SignedTransaction, Signer
from tallystick_platform.settings import Settings

LOG_SALT = keccak256(b"tallystick/v2/log")
"""Fixed, so that creating the log twice is impossible: the second time its id is taken."""
SEARCHED_NONCES = 16
POLL_S = 0.25
MINED_WITHIN_S = 180.0
_NO_LOG = LogId(bytes(32))

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What a new log promises for life, and who may name its next writer; a keeper of zero: nobody. Units: seconds."""

    keeper: Address
    promise: int
    skew: int


def bootstrap(
    settings: Settings, transport: Transport, signer: Signer, keeper: Address | None, *, sleep: Sleep = time.sleep
) -> LedgerLocation:
    """The log that this server writes. `keeper` is for a log that has to be made.

    Raises: SettingsError, BootstrapError, WriterChanged, ChainUnavailable, ChainRejected
    """
    path = settings.paths.home / FILE_NAME
    if settings.contract is not None and settings.log_id is not None:
        contract, log_id = parse_address(settings.contract), LogId(parse_hash(settings.log_id))
        location = named_log(transport, settings.chain_id, contract, log_id, read_location(path))
        check_log(transport, signer.address, location)
        write_location(path, location)
    elif settings.embedded_chain:
        if keeper is None:
            raise SettingsError(
                setting="TALLYSTICK_LOG_KEEPER", reason="must name who may name another writer of the log"
            )
        promises = Promises(keeper=keeper, promise=settings.log_promise_s, skew=settings.log_skew_s)
        location = make_embedded_log(transport, signer, path, settings.chain_id, promises, sleep=sleep)
    else:
        setting = "TALLYSTICK_CONTRACT" if settings.contract is None else "TALLYSTICK_LOG_ID"
        how = "`tallystick-server log create --rpc URL --keeper ADDRESS` makes one and prints both settings"
        raise SettingsError(setting=setting, reason=f"a log on a chain of your own choice must be named; {how}")
    return location


def named_log(
    transport: Transport, chain_id: int, contract: Address, log_id: LogId, known: LedgerLocation | None = None
) -> LedgerLocation:
    """A log that the settings name, with the terms under which it was created. They are asked for once, and then `known`.

    Raises: WrongChain, ContractAbsent, ContractDiffers, LogAbsent, TermsDiffer, ChainUnavailable, ChainRejected
    """
    if known is not None and (known.chain_id, known.contract, known.log_id) == (chain_id, contract, log_id):
        return known
    reader = LedgerReader(transport, contract, log_id)
    _require_chain(reader.chain_id(), chain_id)
    if not _is_deployed(reader):
        raise ContractAbsent(contract=checksum_address(contract), chain_id=chain_id)
    try:
        location = LedgerLocation(chain_id=chain_id, contract=contract, terms=reader.creation().terms)
    except LogMissing as error:
        raise LogAbsent(log_id=to_hex(log_id), contract=checksum_address(contract)) from error
    except EventsWithheld as error:
        raise TermsDiffer(log_id=to_hex(log_id)) from error
    if location.log_id != log_id:
        raise TermsDiffer(log_id=to_hex(log_id))
    return location


def check_log(transport: Transport, writer: Address, location: LedgerLocation) -> LedgerLocation:
    """Check that a log is one that this account may write, through a contract that is ours to the byte.

    Raises: WrongChain, ContractAbsent, ContractDiffers, LogAbsent, LogModeUnknown, WriterChanged, ChainUnavailable, ChainRejected
    """
    reader = LedgerReader(transport, location.contract, location.log_id)
    _require_chain(reader.chain_id(), location.chain_id)
    if not _is_deployed(reader):
        raise ContractAbsent(contract=checksum_address(location.contract), chain_id=location.chain_id)
    try:
        state = reader.log_state()
    except LogMissing as error:
        raise LogAbsent(log_id=to_hex(location.log_id), contract=checksum_address(location.contract)) from error
    if location.terms.mode != MODE_APPEND:
        raise LogModeUnknown(log_id=to_hex(location.log_id), mode=location.terms.mode)
    if state.writer != writer:
        raise WriterChanged(expected=checksum_address(writer), found=checksum_address(state.writer))
    return location


def make_embedded_log(
    transport: Transport,
    signer: Signer,
    path: Path,
    chain_id: int,
    promises: Promises,
    *,
    sleep: Sleep = time.sleep,
) -> LedgerLocation:
    """The log of the embedded chain: found, or made in the steps above.

    A log that the file remembers keeps its terms, whatever the promises asked for now.

    Raises: BootstrapError, WriterChanged, ChainUnavailable, ChainRejected
    """
    found_chain = LedgerReader(transport, signer.address, _NO_LOG).chain_id()
    stored = read_location(path)
    _require_chain(found_chain, chain_id if stored is None else stored.chain_id)
    setup = _Setup(transport, signer, found_chain, sleep)
    terms = own_terms(signer.address, signer.address, promises) if stored is None else stored.terms
    contract = setup.deployed_contract() if stored is None else stored.contract
    if contract is None or not setup.is_deployed(contract):
        intended = setup.next_contract()
        if contract is not None and contract != intended:
            raise LedgerLost(contract=checksum_address(contract), path=path)
        contract = intended
        write_location(path, LedgerLocation(chain_id=found_chain, contract=contract, terms=terms))
        setup.deploy(contract)
    location = LedgerLocation(chain_id=found_chain, contract=contract, terms=terms)
    if stored != location:
        write_location(path, location)
    setup.create_log(location)
    return check_log(transport, signer.address, location)


def create_log(
    transport: Transport,
    signer: Signer,
    promises: Promises,
    *,
    writer: Address | None = None,
    contract: Address | None = None,
    salt: bytes = LOG_SALT,
    sleep: Sleep = time.sleep,
) -> LedgerLocation:
    """Make a log on any chain, which `signer` pays for and `writer` (unset: the signer) will write. Repeated, it finds what it made.

    The contract is deployed where none is named.

    Requires: `signer` can pay.
    Raises: BootstrapError, ChainUnavailable, ChainRejected
    """
    chain_id = LedgerReader(transport, signer.address, _NO_LOG).chain_id()
    setup = _Setup(transport, signer, chain_id, sleep)
    if contract is None:
        contract = setup.deployed_contract()
    elif not setup.is_deployed(contract):
        raise ContractAbsent(contract=checksum_address(contract), chain_id=chain_id)
    if contract is None:
        contract = setup.next_contract()
        setup.deploy(contract)
    terms = own_terms(signer.address, writer or signer.address, promises, salt)
    location = LedgerLocation(chain_id=chain_id, contract=contract, terms=terms)
    setup.create_log(location)
    return location


def own_terms(creator: Address, writer: Address, promises: Promises, salt: bytes = LOG_SALT) -> LogTerms:
    """The terms of a log that this service can write."""
    return LogTerms(
        creator=creator,
        salt=salt,
        writer=writer,
        keeper=promises.keeper,
        format=FORMAT,
        mode=MODE_APPEND,
        promise=promises.promise,
        skew=promises.skew,
    )


class _Setup:
    """The transactions that make a log, each sent until the chain shows its effect."""

    def __init__(self, transport: Transport, signer: Signer, chain_id: int, sleep: Sleep) -> None:
        self._transport = transport
        self._signer = signer
        self._sleep = sleep
        self._client = LedgerClient(transport, signer, chain_id)

    def is_deployed(self, contract: Address) -> bool:
        return _is_deployed(LedgerReader(self._transport, contract, _NO_LOG))

    def deployed_contract(self) -> Address | None:
        """The contract that an earlier attempt of this account deployed."""
        for nonce in range(min(self._client.nonce(), SEARCHED_NONCES)):
            contract = contract_address(self._signer.address, nonce)
            try:
                if self.is_deployed(contract):
                    return contract
            except ContractDiffers:
                continue
        return None

    def next_contract(self) -> Address:
        """Where the account's next transaction would deploy to."""
        return contract_address(self._signer.address, self._client.nonce())

    def deploy(self, contract: Address) -> None:
        """Step 2."""
        transaction = self._client.build_deploy(self._client.nonce())
        send_until(
            self._client, transaction, lambda: self.is_deployed(contract), "the contract's deployment", self._sleep
        )

    def create_log(self, location: LedgerLocation) -> None:
        """Step 3, unless the log is there."""
        reader = LedgerReader(self._transport, location.contract, location.log_id)
        if _has_log(reader):
            return
        transaction = self._client.build_create_log(self._client.nonce(), location.contract, location.terms)
        send_until(self._client, transaction, lambda: _has_log(reader), "the log's creation", self._sleep)


def send_until(
    client: LedgerClient,
    transaction: SignedTransaction,
    is_done: Callable[[], bool],
    what: str,
    sleep: Sleep = time.sleep,
) -> None:
    """Send a transaction and wait until the chain shows its effect.

    Raises: SetupReverted, NotMinedInTime, ChainUnavailable, ChainRejected
    """
    try:
        client.send(transaction)
    except ChainRejected as rejected:
        # An attempt that a crash cut off may wait in the pool, or have been mined just now: its effect is what counts.
        if classify(rejected) not in {Refusal.NONCE_USED, Refusal.FEE_TOO_LOW}:
            raise
    for _ in range(int(MINED_WITHIN_S / POLL_S)):
        if is_done():
            return
        receipt = client.receipt(transaction.hash)
        if receipt is not None and not receipt.succeeded:
            raise SetupReverted(what=what, tx_hash=transaction.hash)
        sleep(POLL_S)
    raise NotMinedInTime(what=what, tx_hash=transaction.hash, waited_s=MINED_WITHIN_S)


def _is_deployed(reader: LedgerReader) -> bool:
    try:
        found = reader.code_hash()
    except ContractMissing:
        return False
    expected = load_artifact().code_hash
    if found != expected:
        raise ContractDiffers(
            contract=checksum_address(reader.contract), expected=to_hex(expected), found=to_hex(found)
        )
    return True


def _has_log(reader: LedgerReader) -> bool:
    try:
        reader.log_state()
    except LogMissing:
        return False
    return True


def _require_chain(found: int, expected: int) -> None:
    if found != expected:
        raise WrongChain(expected=expected, found=found)
