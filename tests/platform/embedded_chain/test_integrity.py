import sqlite3

import pytest

from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tallystick_platform.embedded_chain.storage import DATABASE_NAME
from tests.support.anchoring import sealed_bytes
from tests.support.chain_replay import ChainInconsistent, replay
from tests.support.chains import deployed_ledger


@pytest.fixture
def folder(tmp_path):
    with deployed_ledger(tmp_path) as ledger:
        for number in range(3):
            ledger.append([(bytes([number]) * 32, sealed_bytes(number + 1, 60))] * 2)
    return tmp_path


def replayed(folder):
    chain = EmbeddedChain(folder, chain_id=73571, durable=False)
    try:
        return replay(chain)
    finally:
        chain.close()


def change(folder, statement):
    with sqlite3.connect(folder / DATABASE_NAME) as connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


def test_a_chain_that_nobody_touched_replays(folder):
    assert replayed(folder) == 6


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE log SET data = x'00' WHERE id = (SELECT max(id) FROM log)", "logs"),
        ("DELETE FROM log WHERE id = (SELECT max(id) FROM log)", "logs"),
        ("UPDATE tx SET gas_used = gas_used + 1 WHERE id = (SELECT max(id) FROM tx)", "transactions"),
        ("UPDATE block SET hash = zeroblob(32) WHERE number = 4", "hash"),
        ("DELETE FROM block WHERE number = 4", "blocks below it"),
        (
            (
                "INSERT INTO log SELECT id + (5 << 24), tx_position, tx_hash, address, topic0, topic1, topic2, topic3, data"
                " FROM log WHERE id = (SELECT max(id) FROM log)"
            ),
            "log rows beyond the head",
        ),
    ],
)
def test_one_change_is_found_and_named(folder, statement, what):
    change(folder, statement)
    with pytest.raises(ChainInconsistent) as caught:
        replayed(folder)
    assert caught.value.what == what


def test_a_lost_state_node_is_found(folder):
    chain = EmbeddedChain(folder, chain_id=73571, durable=False)
    state_root = chain.head().header.state_root
    chain.close()
    change(folder, f"DELETE FROM node WHERE key = x'{state_root.hex()}'")
    with pytest.raises(ChainInconsistent, match="state node"):
        replayed(folder)
