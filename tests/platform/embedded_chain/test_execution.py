import pytest
from eth_abi import encode
from web3 import Web3

from tallystick_platform.embedded_chain.errors import Refused
from tallystick_platform.embedded_chain.execution import CallRequest, estimate_gas, execute
from tallystick_platform.ledger_chain.gas import MAX_TRANSACTION_GAS, calldata_floor
from tests.support.accounts import INVALID, RETURN_42, REVERT_WITH_CALLDATA, deployer, logger

NOBODY = bytes(20)
SINK = b"\x05" * 19 + b"\xff"


def request(to, data=b"", *, gas=1_000_000, value=0, sender=NOBODY, access=()):
    return CallRequest(sender=sender, to=to, data=data, value=value, gas=gas, gas_price=0, access=access)


def run(account, call):
    with account.transport.chain.state() as state:
        return execute(state, call)


def test_a_call_gives_what_the_contract_returns(account):
    outcome = run(account, request(account.deploy(RETURN_42)))
    assert int.from_bytes(outcome.output, "big") == 42


def test_a_call_from_a_contract_is_answered_as_well(account):
    contract = account.deploy(RETURN_42)
    assert run(account, request(contract, sender=contract)).output


def test_a_call_to_nobody_returns_nothing(account):
    assert run(account, request(SINK)).output == b""


def test_a_revert_carries_its_data_and_code_3(account):
    with pytest.raises(Refused) as caught:
        run(account, request(account.deploy(REVERT_WITH_CALLDATA), b"\x01\x02\x03\x04"))
    assert (caught.value.rpc_code, caught.value.message, caught.value.data) == (
        3,
        "execution reverted",
        b"\x01\x02\x03\x04",
    )


def test_a_reason_is_in_the_message(account):
    data = Web3.keccak(text="Error(string)")[:4] + encode(["string"], ["not today"])
    with pytest.raises(Refused, match="execution reverted: not today"):
        run(account, request(account.deploy(REVERT_WITH_CALLDATA), data))


@pytest.mark.parametrize("tail", [b"", b"\x00" * 63, (32).to_bytes(32, "big") + b"\xff" * 32])
def test_a_malformed_reason_is_a_plain_revert(account, tail):
    data = Web3.keccak(text="Error(string)")[:4] + tail
    with pytest.raises(Refused, match=r"^execution reverted$"):
        run(account, request(account.deploy(REVERT_WITH_CALLDATA), data))


def test_another_failure_of_the_vm_names_itself(account):
    with pytest.raises(Refused, match="invalid opcode") as caught:
        run(account, request(account.deploy(INVALID)))
    assert caught.value.rpc_code == -32000
    assert caught.value.data is None


def test_too_little_gas_to_begin_is_refused(account):
    with pytest.raises(Refused, match="minimum needed 25000"):
        run(account, request(SINK, b"\x01" * 100, gas=24_999))


def test_too_little_gas_to_finish_is_out_of_gas(account):
    with pytest.raises(Refused, match="out of gas"):
        run(account, request(account.deploy(RETURN_42), gas=21_010))


def test_a_call_executes_no_more_than_a_transaction_may(account):
    gas_contract = account.deploy(bytes.fromhex("5a5f5260205ff3"))
    left = int.from_bytes(run(account, request(gas_contract, gas=10**12)).output, "big")
    assert left < MAX_TRANSACTION_GAS


def test_value_that_the_asker_has_is_moved_and_value_that_it_has_not_refused(account):
    run(account, request(SINK, value=5, sender=account.address))
    with pytest.raises(Refused, match="insufficient funds for transfer"):
        run(account, request(SINK, value=5))


def test_a_deployment_gives_the_code(account):
    assert run(account, request(None, deployer(RETURN_42), sender=account.address)).output == RETURN_42


def test_two_calls_in_one_state_do_not_see_each_other(account):
    contract = account.deploy(bytes.fromhex("5f54600101805f555f5260205ff3"))  # increments slot 0 and returns it
    with account.transport.chain.state() as state:
        outputs = [execute(state, request(contract)).output[-1] for _ in range(3)]
    assert outputs == [1, 1, 1]


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (RETURN_42, b""),
        (logger(2), b"\x07" * 32),
        (bytes.fromhex("5f54600101805f555f5260205ff3"), b""),
        (b"\x00", b"\xff" * 500),
    ],
)
def test_an_estimate_suffices_and_is_little_above_what_was_used(account, code, data):
    contract = account.deploy(code)
    with account.transport.chain.state() as state:
        estimate = estimate_gas(state, request(contract, data, sender=account.address))
    used = int(account.receipt(account.send(contract, data, gas=estimate))["gasUsed"], 16)
    assert account.receipt(account.send(contract, data, gas=estimate))["status"] == "0x1"
    assert used <= estimate <= used + used // 4


def test_an_estimate_of_a_plain_payment_is_exact(account):
    with account.transport.chain.state() as state:
        assert estimate_gas(state, request(SINK, value=1, sender=account.address)) == 21_000


def test_an_estimate_is_never_below_the_calldata_floor(account):
    data = b"\x01" * 1000
    with account.transport.chain.state() as state:
        assert estimate_gas(state, request(SINK, data)) == calldata_floor(data)


def test_an_estimate_of_a_deployment_suffices(account):
    code = deployer(b"\x5b" * 2000)
    with account.transport.chain.state() as state:
        estimate = estimate_gas(state, request(None, code, sender=account.address))
    assert account.receipt(account.send(None, code, gas=estimate))["status"] == "0x1"


def test_an_estimate_leaves_room_for_what_an_inner_call_may_not_use(account):
    inner = account.deploy(bytes.fromhex("6103e85b600190038060035700"))  # counts down from 1000
    # calls `inner` with all its gas; reverts if that failed
    outer = account.deploy(
        bytes.fromhex("5f5f5f5f5f73") + inner + bytes.fromhex("5af1602257") + bytes.fromhex("5f5ffd5b00")
    )
    with account.transport.chain.state() as state:
        estimate = estimate_gas(state, request(outer, sender=account.address))
    assert account.receipt(account.send(outer, gas=estimate))["status"] == "0x1"


def test_an_estimate_is_found_however_deep_the_calls_go(account):
    target = account.deploy(bytes.fromhex("610fa05b600190038060035700"))  # counts down from 4000
    for _ in range(5):
        code = bytes.fromhex("5f5f5f5f5f73") + target + bytes.fromhex("5af1602257") + bytes.fromhex("5f5ffd5b00")
        target = account.deploy(code)
    with account.transport.chain.state() as state:
        estimate = estimate_gas(state, request(target, sender=account.address))
        with pytest.raises(Refused):
            execute(state, request(target, sender=account.address, gas=estimate * 15 // 16))
    assert account.receipt(account.send(target, gas=estimate))["status"] == "0x1"


def test_an_estimate_of_what_always_reverts_is_the_revert(account):
    contract = account.deploy(REVERT_WITH_CALLDATA)
    with account.transport.chain.state() as state, pytest.raises(Refused) as caught:
        estimate_gas(state, request(contract, b"\xaa"))
    assert caught.value.data == b"\xaa"


def test_what_the_access_list_names_costs_beforehand(account):
    contract = account.deploy(RETURN_42)
    with account.transport.chain.state() as state:
        plain = execute(state, request(contract)).gas_spent
        listed = execute(state, request(contract, access=((SINK, (1, 2)),))).gas_spent
    assert listed - plain == 2_400 + 2 * 1_900
