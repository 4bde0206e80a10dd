"""Chains for tests: the embedded chain without HTTP, with the ledger's contract on it, and anvil for what needs another node.

with deployed_ledger() as ledger:
    ledger.append([(fields_root, sealed), ...])
    assert ledger.reader.log_state().size == 1
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tallystick.chain.answers import read_answer
from tallystick.chain.packing import pack_records
from tallystick.chain.reader import LedgerReader
from tallystick.chain.transaction import contract_address
from tallystick.heads import FORMAT, MODE_APPEND, LogTerms, derive_log_id
from tallystick.ids import Address, Epoch, FieldsRoot, Head, LogId
from tallystick.keys import WRAP_BYTES, Wallet
from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tallystick_platform.embedded_chain.dispatch import answer
from tallystick_platform.embedded_chain.methods import Methods
from tallystick_platform.embedded_chain.rules import DEFAULT_CHAIN_ID
from tallystick_platform.ledger_chain.client import LedgerClient, LogOnChain, TransactionReceipt
from tallystick_platform.ledger_chain.signers import KeySigner, SignedTransaction

ROOT = Path(__file__).resolve().parents[2]
TEST_KEY = bytes(31) + b"\x01"
START_S = 1_760_000_000
SALT = bytes(32)
PROMISE_S = 86_400
SKEW_S = 300
KEEPER_KEY = bytes(31) + b"\x02"
WRAPS = (b"w" * WRAP_BYTES,)
"""One wrap that nobody can open."""
ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
"""The first of the accounts that anvil always funds; known to everyone."""


class SteppingClock:
    """A wall clock that moves only when told, so that blocks are due exactly when a test wants them."""

    def __init__(self, now_s: float = START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class DirectTransport:
    """JSON-RPC to an embedded chain in this process, through the same dispatch as over HTTP.

    With `auto_mine` a transaction is in a block when `eth_sendRawTransaction` returns. `calls` counts the methods asked for;
    `before` may raise to play a fault.
    """

    def __init__(self, chain: EmbeddedChain, clock: SteppingClock, *, auto_mine: bool = True) -> None:
        self.chain = chain
        self.clock = clock
        self.auto_mine = auto_mine
        self.calls: list[str] = []
        self.before: Callable[[str, list[object]], None] | None = None
        self._methods = Methods(chain)

    def call(self, method: str, params: list[object]) -> object:
        self.calls.append(method)
        if self.before is not None:
            self.before(method, params)
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": json.loads(json.dumps(params))}
        body = answer(request, self._methods)
        if method == "eth_sendRawTransaction" and self.auto_mine:
            self.mine()
        return read_answer(body, 1, method)

    def mine(self, at_s: float | None = None) -> int:
        """Make blocks, one second apart or at a given time, until nothing that waits is ready; gives how many."""
        made = 0
        while self.chain.block_due_in_s() is not None:
            self.clock.now_s = max(self.clock.now_s + 1, at_s or 0)
            made += self.chain.make_block() is not None
        return made


@dataclass(slots=True, kw_only=True)
class DeployedLedger:
    """A contract with one log, its first epoch open, and everything to write and read it."""

    transport: DirectTransport
    wallet: Wallet
    contract: Address
    log_id: LogId
    chain_id: int
    terms: LogTerms
    reader: LedgerReader
    client: LedgerClient
    keeper: LedgerClient
    chain: EmbeddedChain
    clock: SteppingClock

    @property
    def log(self) -> LogOnChain:
        """The log as calls name it."""
        return LogOnChain(contract=self.contract, log_id=self.log_id)

    @property
    def head(self) -> Head:
        """The log's head as the contract keeps it."""
        return self.reader.log_state().head

    def mine(self, at_s: float | None = None) -> int:
        """See `DirectTransport.mine`."""
        return self.transport.mine(at_s)

    def send(self, transaction: SignedTransaction) -> TransactionReceipt:
        """Send a transaction and mine it."""
        self.client.send(transaction)
        self.mine()
        receipt = self.client.receipt(transaction.hash)
        assert receipt is not None
        return receipt

    def append(self, records: Sequence[tuple[bytes, bytes]], at_s: float | None = None) -> TransactionReceipt:
        """Append a batch of (fields_root, sealed) at the end of the log, in a block of its own."""
        if at_s is not None:
            self.clock.now_s = at_s - 1
        packed = pack_records([(FieldsRoot(root), sealed) for root, sealed in records])
        return self.append_packed(packed, len(records))

    def append_packed(self, packed: bytes, count: int) -> TransactionReceipt:
        """Append packed bytes as they are."""
        return self.send(self.client.build_append(self.client.nonce(), self.log, self.head, packed, count))

    def open_epoch(self, epoch: int, wraps: Sequence[bytes] = WRAPS) -> TransactionReceipt:
        """Open an epoch."""
        joined = b"".join(wraps)
        return self.send(self.client.build_open_epoch(self.client.nonce(), self.log, self.head, Epoch(epoch), joined))

    def void(self, first: int, last: int) -> TransactionReceipt:
        """Declare admission numbers void."""
        return self.send(self.client.build_void(self.client.nonce(), self.log, self.head, first, last))

    def rotate(self, writer: Wallet, last_admission: int) -> TransactionReceipt:
        """Have the keeper name another writer, who signs from now on."""
        keeper = self.keeper
        receipt = self.send(keeper.build_rotate(keeper.nonce(), self.log, self.head, writer.address, last_admission))
        self.wallet = writer
        self.client = LedgerClient(self.transport, KeySigner(writer), self.chain_id)
        return receipt


@contextmanager
def direct_chain(
    folder: Path | None = None,
    *,
    prefund: Sequence[Address] = (),
    now_s: float = START_S,
    auto_mine: bool = True,
    chain_id: int = DEFAULT_CHAIN_ID,
) -> Iterator[DirectTransport]:
    """An embedded chain without contracts, in `folder` or in one that goes away."""
    clock = SteppingClock(now_s)
    with tempfile.TemporaryDirectory(prefix="tallystick-chain-") as scratch:
        chain = EmbeddedChain(folder or Path(scratch), chain_id=chain_id, prefund=prefund, now_s=clock, durable=False)
        try:
            yield DirectTransport(chain, clock, auto_mine=auto_mine)
        finally:
            chain.close()


@contextmanager
def deployed_ledger(
    folder: Path | None = None,
    *,
    private_key: bytes = TEST_KEY,
    wraps: Sequence[bytes] = WRAPS,
    now_s: float = START_S,
    auto_mine: bool = True,
    chain_id: int = DEFAULT_CHAIN_ID,
    prefund: Sequence[Address] = (),
    terms: LogTerms | None = None,
) -> Iterator[DeployedLedger]:
    """The ledger's contract on an embedded chain, with one log of `private_key` and epoch 1 open.

    Without `wraps` no epoch is opened. With `auto_mine=False` only the set-up mines by itself.
    """
    wallet, keeper = Wallet(private_key), Wallet(KEEPER_KEY)
    funded = [wallet.address, keeper.address, *prefund]
    with direct_chain(folder, prefund=funded, now_s=now_s, chain_id=chain_id) as transport:
        ledger = deploy(transport, wallet, wraps, terms)
        transport.auto_mine = auto_mine
        yield ledger


def terms_of(writer: Address, keeper: Address | None = None) -> LogTerms:
    """The terms of a log under test, created by its writer."""
    return LogTerms(
        creator=writer,
        salt=SALT,
        writer=writer,
        keeper=Wallet(KEEPER_KEY).address if keeper is None else keeper,
        format=FORMAT,
        mode=MODE_APPEND,
        promise=PROMISE_S,
        skew=SKEW_S,
    )


def deploy(
    transport: DirectTransport, wallet: Wallet, wraps: Sequence[bytes] = WRAPS, terms: LogTerms | None = None
) -> DeployedLedger:
    """Deploy the contract, create a log and, if there are wraps, open its first epoch."""
    chain_id = transport.chain.chain_id
    contract = contract_address(wallet.address, 0)
    terms = terms or terms_of(wallet.address)
    log_id = derive_log_id(chain_id, contract, terms)
    client = LedgerClient(transport, KeySigner(wallet), chain_id)
    client.send(client.build_deploy(0))
    client.send(client.build_create_log(1, contract, terms))
    ledger = DeployedLedger(
        transport=transport,
        wallet=wallet,
        contract=contract,
        log_id=log_id,
        chain_id=chain_id,
        terms=terms,
        reader=LedgerReader(transport, contract, log_id),
        client=client,
        keeper=LedgerClient(transport, KeySigner(Wallet(KEEPER_KEY)), chain_id),
        chain=transport.chain,
        clock=transport.clock,
    )
    if wraps:
        ledger.open_epoch(1, wraps)
    return ledger


def foundry_tool(name: str) -> Path:
    """The path of anvil, cast or forge; for tests of the group `node`."""
    path = ROOT / "contracts/node_modules/@foundry-rs" / f"{name}-linux-amd64" / "bin" / name
    if path.exists():
        return path
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name}: run `make contracts-tools`")
    return Path(found)


@contextmanager
def anvil(*options: str) -> Iterator[str]:
    """A fresh anvil node's URL; pass options such as `--no-mining` or `--hardfork osaka`."""
    command = [str(foundry_tool("anvil")), "--host", "127.0.0.1", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"Listening on ([0-9.]+:[0-9]+)", line):
                    yield f"http://{found[1]}"
                    return
            raise RuntimeError(f"anvil stopped with {process.wait()}")
        finally:
            process.kill()
