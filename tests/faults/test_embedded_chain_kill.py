"""`kill -9` of the embedded chain: every acknowledged block stays, and no block is ever half there.

`TALLYSTICK_FAULT_ROUNDS` sets how many random kills; a handful by default.
"""

from __future__ import annotations

import os
import random
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.chain.packing import pack_records
from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.chain.transaction import contract_address
from tallystick.errors import ChainUnavailable
from tallystick.heads import derive_log_id
from tallystick.ids import Epoch, FieldsRoot
from tallystick.keys import Wallet
from tallystick_platform.embedded_chain import index
from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tallystick_platform.ledger_chain.client import LedgerClient, LogOnChain
from tallystick_platform.ledger_chain.signers import KeySigner
from tests.support.accounts import Account, deployer, logger
from tests.support.anchoring import sealed_bytes
from tests.support.chain_replay import replay
from tests.support.chains import START_S, WRAPS, terms_of
from tests.support.embedded_chain import start_chain

ROUNDS = int(os.environ.get("TALLYSTICK_FAULT_ROUNDS", "5"))
PROCESS_ROUNDS = max(2, ROUNDS // 20)
LONGEST_LIFE_S = 0.4
WALLET = Wallet(b"\x11" * 32)
LOGGER = contract_address(WALLET.address, 0)
CHAIN_ID = 73_571

pytestmark = pytest.mark.faults


class Writer:
    """Makes blocks as fast as it can, each with a transaction of several kilobytes and a log."""

    def __init__(self, folder: Path) -> None:
        self.now_s = float(START_S)
        self.chain = EmbeddedChain(folder, chain_id=CHAIN_ID, prefund=[WALLET.address], now_s=lambda: self.now_s)
        head = self.chain.head()
        self.now_s = float(head.timestamp)
        self.account = Account(transport=None, wallet=WALLET, nonce=head.number)

    def make_block(self) -> str:
        """One block with one transaction; gives the line that acknowledges it."""
        if self.account.nonce == 0:
            signed = self.account.sign(None, deployer(logger(2)), gas=1_000_000)
        else:
            signed = self.account.sign(LOGGER, os.urandom(3_000), gas=1_000_000)
        self.account.nonce += 1
        self.chain.submit(signed.raw)
        self.now_s += 1
        block = self.chain.make_block()
        assert block is not None
        return f"{block.number} {block.hash.hex()} {signed.hash.hex()}\n"


def in_child(work: Callable[[int], None]) -> tuple[int, int]:
    """Run `work` in a forked process; gives its id and the end of the pipe that it writes to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(writing)
        finally:
            os._exit(1)
    os.close(writing)
    return child, reading


def read_until(descriptor: int, deadline: float) -> bytes:
    """Collect what comes until a moment, or until the other end is gone."""
    received = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([descriptor], [], [], left)[0]:
        chunk = os.read(descriptor, 65_536)
        if not chunk:
            break
        received += chunk
    return received


def kill_and_collect(child: int, descriptor: int, received: bytes) -> list[tuple[int, str, str]]:
    """Kill the child, read the rest of what it said, and give the blocks that it acknowledged."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while chunk := os.read(descriptor, 65_536):
        received += chunk
    os.close(descriptor)
    lines = received.decode().splitlines(keepends=True)
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [(int(number), block_hash, tx_hash) for number, block_hash, tx_hash in whole]


def check_acknowledged(folder: Path, acknowledged: list[tuple[int, str, str]]) -> int:
    """Every acknowledged block and receipt is there; gives the number of the head."""
    chain = EmbeddedChain(folder, chain_id=CHAIN_ID, prefund=[WALLET.address], now_s=lambda: float(START_S))
    connection = chain.storage.reader()
    for number, block_hash, tx_hash in acknowledged:
        block = index.block_by_number(connection, number)
        row = index.transaction_by_hash(connection, bytes.fromhex(tx_hash))
        assert block is not None
        assert row is not None
        assert (block.hash.hex(), row.block_number, row.succeeded) == (block_hash, number, True)
    head = chain.head().number
    chain.close()
    return head


def replay_all(folder: Path) -> int:
    chain = EmbeddedChain(folder, chain_id=CHAIN_ID, now_s=lambda: float(START_S))
    try:
        return replay(chain)
    finally:
        chain.close()


def test_kills_at_random_moments_lose_no_acknowledged_block_and_leave_none_half_done(tmp_path):
    chance = random.Random(20_260_101)
    acknowledged: list[tuple[int, str, str]] = []

    def write_for_ever(descriptor: int) -> None:
        writer = Writer(tmp_path)
        while True:
            os.write(descriptor, writer.make_block().encode())

    for _ in range(ROUNDS):
        child, descriptor = in_child(write_for_ever)
        received = read_until(descriptor, time.monotonic() + chance.uniform(0.0, LONGEST_LIFE_S))
        acknowledged += kill_and_collect(child, descriptor, received)
        head = check_acknowledged(tmp_path, acknowledged[-200:])
        last = acknowledged[-1][0] if acknowledged else 0
        assert last <= head <= last + 1  # one block may be durable before its acknowledgement was written
        if head > last:
            acknowledged.append(block_line(tmp_path, head))
    check_acknowledged(tmp_path, acknowledged)
    assert [number for number, _, _ in acknowledged] == list(range(1, len(acknowledged) + 1))
    assert replay_all(tmp_path) == len(acknowledged) > 0


def block_line(folder: Path, number: int) -> tuple[int, str, str]:
    chain = EmbeddedChain(folder, chain_id=CHAIN_ID, now_s=lambda: float(START_S))
    connection = chain.storage.reader()
    block = index.block_by_number(connection, number)
    (tx_hash,) = index.transaction_hashes(connection, number)
    chain.close()
    assert block is not None
    return number, block.hash.hex(), tx_hash.hex()


@pytest.mark.parametrize(
    ("statement", "survives"),
    [
        ("BEGIN", False),
        ("INSERT OR REPLACE INTO node", False),
        ("INSERT INTO block", False),
        ("INSERT INTO tx", False),
        ("INSERT INTO log", False),
        ("COMMIT", False),
        ("acknowledge", True),
    ],
)
def test_a_kill_at_a_step_of_the_commit_leaves_the_parent_or_the_whole_block(tmp_path, statement, survives):
    def write_and_die(descriptor: int) -> None:
        writer = Writer(tmp_path)
        for _ in range(2):
            os.write(descriptor, writer.make_block().encode())

        def die_at(executed: str) -> None:
            if executed.startswith(statement):
                os.kill(os.getpid(), signal.SIGKILL)

        writer.chain.storage.writer.set_trace_callback(die_at)
        writer.make_block()
        die_at("acknowledge")

    child, descriptor = in_child(write_and_die)
    received = read_until(descriptor, time.monotonic() + 30)
    _, status = os.waitpid(child, 0)
    os.close(descriptor)
    assert os.WTERMSIG(status) == signal.SIGKILL
    lines = [line.split() for line in received.decode().splitlines()]
    head = check_acknowledged(tmp_path, [(int(number), block, tx) for number, block, tx in lines])
    assert (len(lines), head) == (2, 3 if survives else 2)
    assert replay_all(tmp_path) == head
    resumed = Writer(tmp_path)
    assert resumed.make_block().startswith(f"{head + 1} ")
    resumed.chain.close()


def test_a_kill_while_the_genesis_is_written_leaves_a_folder_that_opens(tmp_path):
    def create_and_die(_: int) -> None:
        def die(self: object, nodes: object, rows: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        EmbeddedChain.__init__.__globals__["ChainStorage"].commit = die
        EmbeddedChain(tmp_path, chain_id=CHAIN_ID)

    child, descriptor = in_child(create_and_die)
    os.waitpid(child, 0)
    os.close(descriptor)
    assert check_acknowledged(tmp_path, []) == 0


def test_kills_of_the_process_lose_no_receipt_that_a_client_has_seen(tmp_path):
    chance = random.Random(20_260_102)
    terms = terms_of(WALLET.address)
    log = LogOnChain(contract=LOGGER, log_id=derive_log_id(CHAIN_ID, LOGGER, terms))
    seen: dict[bytes, object] = {}
    for _ in range(PROCESS_ROUNDS):
        chain = start_chain(tmp_path, prefund=[WALLET.address])
        transport = HttpTransport(chain.url, sleep=lambda _: None)
        reader = LedgerReader(transport, log.contract, log.log_id)
        client = LedgerClient(transport, KeySigner(WALLET), CHAIN_ID)
        for tx_hash, receipt in seen.items():
            assert client.receipt(tx_hash) == receipt
        deadline = time.monotonic() + chance.uniform(0.2, 1.5)
        write_until_killed(chain, client, reader, log, seen, deadline)
        transport.close()
        chain.process.communicate()
    assert len(seen) >= 2
    assert replay_all(tmp_path) >= len(seen)


def write_until_killed(chain, client, reader, log, seen, deadline) -> None:
    """Write batch after batch; at the deadline the node is killed with a transaction on its way."""
    try:
        while True:
            nonce = client.nonce()
            if nonce < 3:
                builds = (
                    client.build_deploy,
                    lambda n: client.build_create_log(n, log.contract, terms_of(WALLET.address)),
                    lambda n: client.build_open_epoch(n, log, reader.log_state().head, Epoch(1), WRAPS[0]),
                )
                signed = builds[nonce](nonce)
            else:
                state = reader.log_state()
                numbers = range(state.size + 1, state.size + 17)
                packed = pack_records([(FieldsRoot(os.urandom(32)), sealed_bytes(n, 1_024)) for n in numbers])
                signed = client.build_append(nonce, log, state.head, packed, len(numbers))
            client.send(signed)
            while (receipt := client.receipt(signed.hash)) is None:
                if time.monotonic() > deadline:
                    chain.kill()
            assert receipt.succeeded
            seen[signed.hash] = receipt
            if time.monotonic() > deadline:
                chain.kill()
    except ChainUnavailable:
        assert chain.process.poll() == -signal.SIGKILL
