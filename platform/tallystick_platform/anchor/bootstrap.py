"""Finding the log, or making it: what must stand on the chain before anything is journaled.

On the embedded chain the service makes what is missing, in steps that a crash may cut anywhere:

1. The contract's address is known before it is deployed, from the deployer and its nonce. It is written to `ledger.json` first.
   *A crash here: the file names an address without code, and the next start deploys to that very address.*
2. Deploy. *A crash here: the next start finds code at the address. Without the file it finds the contract among the addresses of the
   wallet's first nonces.*
3. Create the log. Its id follows from chain, contract, creator and a fixed salt, so a second attempt finds it instead of making another.

Lost with the whole chain folder, contract and log come back under the same address and id, and the anchorer appends everything again.
On somebody else's chain nothing is made unasked: contract and log must be named, and they are checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tallystick.chain import (
    ContractMissing,
    LedgerReader,
    LedgerSender,
    LogMissing,
    SignedTransaction,
    Transport,
    contract_address,
    derive_log_id,
    load_artifact,
)
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.ids import Address, LogId, checksum_address, parse_address, parse_hash, to_hex
from tallystick.keys import Wallet
from tallystick_platform.anchor.errors import (
    ContractAbsent,
    ContractDiffers,
    LedgerLost,
    LogAbsent,
    NotMinedInTime,
    SetupReverted,
    WriterChanged,
    WrongChain,
)
from tallystick_platform.anchor.location import FILE_NAME, LedgerLocation, read_location, write_location
from tallystick_platform.anchor.refusals import Refusal, classify
from tallystick_platform.errors import SettingsError
from tallystick_platform.settings import Settings

LOG_SALT = keccak256(b"tallystick/v1/log")
"""Fixed, so that creating the log twice is impossible: the second time its id is taken."""
SEARCHED_NONCES = 16
POLL_S = 0.25
MINED_WITHIN_S = 180.0

Sleep = Callable[[float], None]


def bootstrap(settings: Settings, transport: Transport, wallet: Wallet, *, sleep: Sleep = time.sleep) -> LedgerLocation:
    """The log that this server writes.

    Raises: SettingsError, BootstrapError, WriterChanged, ChainUnavailable, ChainRejected
    """
    if settings.contract is not None and settings.log_id is not None:
        named = LedgerLocation(
            chain_id=settings.chain_id,
            contract=parse_address(settings.contract),
            log_id=LogId(parse_hash(settings.log_id)),
        )
        return check_log(transport, wallet, named)
    if not settings.embedded_chain:
        setting = "TALLYSTICK_CONTRACT" if settings.contract is None else "TALLYSTICK_LOG_ID"
        how = "`tallystick-server log create --rpc URL` makes one and prints both settings"
        raise SettingsError(setting=setting, reason=f"a log on a chain of your own choice must be named; {how}")
    return make_embedded_log(transport, wallet, settings.paths.home / FILE_NAME, settings.chain_id, sleep=sleep)


def check_log(transport: Transport, wallet: Wallet, location: LedgerLocation) -> LedgerLocation:
    """Check that a named log is one that this wallet may write, through a contract that is ours to the byte.

    Raises: WrongChain, ContractAbsent, ContractDiffers, LogAbsent, WriterChanged, ChainUnavailable, ChainRejected
    """
    reader = LedgerReader(transport, location.contract, location.log_id)
    _require_chain(reader.chain_id(), location.chain_id)
    if not _is_deployed(reader):
        raise ContractAbsent(contract=checksum_address(location.contract), chain_id=location.chain_id)
    try:
        state = reader.log_state()
    except LogMissing as error:
        raise LogAbsent(log_id=to_hex(location.log_id), contract=checksum_address(location.contract)) from error
    if state.writer != wallet.address:
        raise WriterChanged(expected=checksum_address(wallet.address), found=checksum_address(state.writer))
    return location


def make_embedded_log(
    transport: Transport, wallet: Wallet, path: Path, chain_id: int, *, sleep: Sleep = time.sleep
) -> LedgerLocation:
    """The log of the embedded chain: found, or made in the steps above.

    Raises: BootstrapError, WriterChanged, ChainUnavailable, ChainRejected
    """
    found_chain = LedgerReader(transport, wallet.address, LogId(bytes(32))).chain_id()
    stored = read_location(path)
    _require_chain(found_chain, chain_id if stored is None else stored.chain_id)
    setup = _Setup(transport, wallet, found_chain, sleep)
    contract = setup.deployed_contract() if stored is None else stored.contract
    if contract is None or not setup.is_deployed(contract):
        intended = setup.next_contract()
        if contract is not None and contract != intended:
            raise LedgerLost(contract=checksum_address(contract), path=path)
        contract = intended
        write_location(path, setup.location(contract))
        setup.deploy(contract)
    location = setup.location(contract)
    if stored != location:
        write_location(path, location)
    setup.create_log(location)
    return check_log(transport, wallet, location)


def create_log(
    transport: Transport,
    wallet: Wallet,
    *,
    contract: Address | None = None,
    salt: bytes = LOG_SALT,
    sleep: Sleep = time.sleep,
) -> LedgerLocation:
    """Make a log that `wallet` writes, on any chain: deploys the contract where none is named. Repeated, it finds what it made.

    Requires: `wallet` can pay.
    Raises: BootstrapError, WriterChanged, ChainUnavailable, ChainRejected
    """
    chain_id = LedgerReader(transport, wallet.address, LogId(bytes(32))).chain_id()
    setup = _Setup(transport, wallet, chain_id, sleep, salt)
    if contract is None:
        contract = setup.deployed_contract()
    elif not setup.is_deployed(contract):
        raise ContractAbsent(contract=checksum_address(contract), chain_id=chain_id)
    if contract is None:
        contract = setup.next_contract()
        setup.deploy(contract)
    location = setup.location(contract)
    setup.create_log(location)
    return check_log(transport, wallet, location)


class _Setup:
    """The transactions that make a log, each sent until the chain shows its effect."""

    def __init__(
        self, transport: Transport, wallet: Wallet, chain_id: int, sleep: Sleep, salt: bytes = LOG_SALT
    ) -> None:
        self._transport = transport
        self._wallet = wallet
        self._chain_id = chain_id
        self._sleep = sleep
        self._salt = salt
        self._account = LedgerSender(transport, wallet, None, None, chain_id)

    def location(self, contract: Address) -> LedgerLocation:
        log_id = derive_log_id(self._chain_id, contract, self._wallet.address, self._salt)
        return LedgerLocation(chain_id=self._chain_id, contract=contract, log_id=log_id)

    def is_deployed(self, contract: Address) -> bool:
        return _is_deployed(self._reader(self.location(contract)))

    def deployed_contract(self) -> Address | None:
        """The contract that an earlier attempt of this wallet deployed."""
        for nonce in range(min(self._account.nonce(), SEARCHED_NONCES)):
            contract = contract_address(self._wallet.address, nonce)
            try:
                if self.is_deployed(contract):
                    return contract
            except ContractDiffers:
                continue
        return None

    def next_contract(self) -> Address:
        """Where the wallet's next transaction would deploy to."""
        return contract_address(self._wallet.address, self._account.nonce())

    def deploy(self, contract: Address) -> None:
        """Step 2."""
        transaction = self._account.build_deploy(self._account.nonce())
        self._send_until(transaction, lambda: self.is_deployed(contract), "the contract's deployment")

    def create_log(self, location: LedgerLocation) -> None:
        """Step 3, unless the log is there."""
        reader = self._reader(location)
        if _has_log(reader):
            return
        sender = LedgerSender(self._transport, self._wallet, location.contract, location.log_id, self._chain_id)
        transaction = sender.build_create_log(sender.nonce(), self._wallet.address, self._salt)
        self._send_until(transaction, lambda: _has_log(reader), "the log's creation")

    def _reader(self, location: LedgerLocation) -> LedgerReader:
        return LedgerReader(self._transport, location.contract, location.log_id)

    def _send_until(self, transaction: SignedTransaction, is_done: Callable[[], bool], what: str) -> None:
        try:
            self._account.send(transaction)
        except ChainRejected as rejected:
            # An attempt that a crash cut off may wait in the pool, or have been mined just now: its effect is what counts.
            if classify(rejected) not in {Refusal.NONCE_USED, Refusal.FEE_TOO_LOW}:
                raise
        for _ in range(int(MINED_WITHIN_S / POLL_S)):
            if is_done():
                return
            receipt = self._account.receipt(transaction.hash)
            if receipt is not None and not receipt.succeeded:
                raise SetupReverted(what=what, tx_hash=transaction.hash)
            self._sleep(POLL_S)
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
