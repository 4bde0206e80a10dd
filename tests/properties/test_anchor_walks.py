"""Any sequence of traffic, blocks, reorgs, crashes, broken calls and fee changes: the chain's log stays a prefix of the journal's, and once
the weather is fair again everything stands on it exactly once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.anchoring import WALLET, Rig, policy
from tests.support.fault_plan import Fault
from tests.support.model_chain import ModelChain

GWEI = 10**9
CALLS = ("eth_sendRawTransaction", "eth_call", "eth_getTransactionReceipt", "eth_getTransactionCount")
WRITES = ("plan_batch", "save_signed", "save_mined", "save_final", "take_back")

journal = st.tuples(st.just("journal"), st.integers(1, 12))
epoch = st.tuples(st.just("epoch"))
turn = st.tuples(st.just("turn"))
mine = st.tuples(st.just("mine"))
reorg = st.tuples(st.just("reorg"), st.integers(1, 6), st.booleans())
drop = st.tuples(st.just("drop"))
crash = st.tuples(st.just("crash"))
base_fee = st.tuples(st.just("base_fee"), st.integers(1, 60))
broken_call = st.tuples(st.just("call"), st.sampled_from(CALLS), st.sampled_from(Fault))
broken_write = st.tuples(st.just("write"), st.sampled_from(WRITES), st.sampled_from(Fault))
event = st.one_of(journal, turn, turn, turn, mine, mine, epoch, reorg, drop, crash, base_fee, broken_call, broken_write)


def happen(rig: Rig, name: str, *arguments: object) -> None:
    if name == "journal":
        rig.journal(*arguments)
    elif name == "epoch":
        rig.open_epoch()
    elif name == "turn":
        rig.turn()
    elif name == "mine":
        rig.chain.mine()
    elif name == "reorg":
        depth = min(arguments[0], len(rig.chain.blocks) - rig.first_blocks)
        if depth > 0:
            rig.chain.reorganise(depth, keep_transactions=arguments[1])
    elif name == "drop":
        rig.chain.drop_pool()
    elif name == "crash":
        rig.crash()
    elif name == "base_fee":
        rig.chain.base_fee = arguments[0] * GWEI
    elif name == "call":
        rig.node.arm(*arguments)
    elif name == "write":
        rig.store.arm(*arguments)


@settings(max_examples=120, deadline=None)
@given(st.lists(event, max_size=60), st.integers(1, 4), st.integers(0, 3))
def test_the_log_is_never_forked_and_is_complete_in_the_end(events, in_flight, confirmations):
    rig = Rig(
        ModelChain(WALLET.address, auto_mine=False),
        policy(max_in_flight=in_flight, confirmations=confirmations, max_fee_per_gas_wei=100 * GWEI),
    )
    rig.journal()
    for name, *arguments in events:
        happen(rig, name, *arguments)
        assert not rig.service.status().halted, rig.service.status().error
        rig.audit()
    rig.node.disarm()
    rig.store.disarm()
    rig.chain.base_fee = GWEI
    rig.settle()
    rig.audit()
    assert rig.chain_size == len(rig.rows.sealed)
