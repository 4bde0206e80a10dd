"""Executing a call without a transaction: `eth_call` and `eth_estimateGas`.

A call runs in a state that is thrown away, with no fee, no nonce and no signature: a contract may ask as well as a wallet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from eth._utils.address import generate_contract_address
from eth.abc import ComputationAPI, StateAPI
from eth.exceptions import Revert, VMError
from eth.vm.message import Message

from tallystick_platform.embedded_chain.errors import EXECUTION_REVERTED, SERVER_ERROR, Refused
from tallystick_platform.ledger_chain.gas import (
    CREATE,
    MAX_TRANSACTION_GAS,
    PER_INIT_CODE_WORD,
    calldata_floor,
    intrinsic_gas,
)

CALL_GAS_CAP: Final = MAX_TRANSACTION_GAS
"""A call executes no more than a transaction could, whatever gas it names."""
ESTIMATE_TOLERANCE: Final = 64
"""An estimate is at most 1/64 above the least gas that suffices."""
ACCESS_ADDRESS_GAS: Final = 2_400
ACCESS_SLOT_GAS: Final = 1_900
"""Source: EIP-2930."""
STIPEND: Final = 2_300
_REASON_SELECTOR: Final = bytes.fromhex("08c379a0")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """What to execute. `to` is None for a deployment; `access` names addresses and slots as in EIP-2930."""

    sender: bytes
    to: bytes | None
    data: bytes
    value: int
    gas: int
    gas_price: int
    access: tuple[tuple[bytes, tuple[int, ...]], ...] = ()

    def intrinsic_gas(self) -> int:
        """What is paid before execution."""
        gas = intrinsic_gas(self.data)
        if self.to is None:
            gas += CREATE + PER_INIT_CODE_WORD * ((len(self.data) + 31) // 32)
        gas += ACCESS_ADDRESS_GAS * len(self.access)
        return gas + ACCESS_SLOT_GAS * sum(len(slots) for _, slots in self.access)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """What came of a call that did not fail. Units: `gas_spent` before refunds, so that a limit of it is enough."""

    output: bytes
    gas_spent: int


def execute(state: StateAPI, call: CallRequest) -> CallOutcome:
    """Run a call and undo it.

    Raises: Refused: code 3 with the revert data, or the VM's own reason.
    """
    snapshot = state.snapshot()
    try:
        computation = _run(state, call)
        return _outcome(call, computation)
    finally:
        state.revert(snapshot)
        state.lock_changes()


def estimate_gas(state: StateAPI, call: CallRequest) -> int:
    """Find a gas limit that suffices, little above the least one.

    What a call spends with plenty of gas is what it needs, except where an inner call may not have the last 64th of what is left:
    then a search narrows it.
    Raises: Refused when the call fails with all the gas it may have.
    """
    cap = min(call.gas, CALL_GAS_CAP)
    spent = execute(state, replace(call, gas=cap)).gas_spent
    if _succeeds(state, replace(call, gas=spent)):
        return spent
    low, high = spent, cap
    guess = min(cap, spent * 64 // 63 + STIPEND)
    if _succeeds(state, replace(call, gas=guess)):
        high = guess
    else:
        low = guess
    while high - low > high // ESTIMATE_TOLERANCE:
        middle = (low + high) // 2
        if _succeeds(state, replace(call, gas=middle)):
            high = middle
        else:
            low = middle
    return high


def _succeeds(state: StateAPI, call: CallRequest) -> bool:
    try:
        execute(state, call)
    except Refused:
        return False
    return True


def _run(state: StateAPI, call: CallRequest) -> ComputationAPI:
    gas = min(call.gas, CALL_GAS_CAP) - call.intrinsic_gas()
    if gas < 0 or call.gas < calldata_floor(call.data):
        least = max(call.intrinsic_gas(), calldata_floor(call.data))
        raise Refused(SERVER_ERROR, f"intrinsic gas too low: gas {call.gas}, minimum needed {least}")
    if call.value > state.get_balance(call.sender):
        raise Refused(SERVER_ERROR, "insufficient funds for transfer")
    context = state.get_transaction_context_class()(gas_price=call.gas_price, origin=call.sender)
    state.mark_address_warm(call.sender)
    for address, slots in call.access:
        state.mark_address_warm(address)
        for slot in slots:
            state.mark_storage_warm(address, slot)
    if call.to is None:
        created = generate_contract_address(call.sender, state.get_nonce(call.sender))
        state.mark_address_warm(created)
        message = Message(gas, b"", call.sender, call.value, b"", call.data, create_address=created)
        return state.computation_class.apply_create_message(state, message, context)
    state.mark_address_warm(call.to)
    code, delegation = state.get_transaction_executor().get_code_at_address(call.to)
    message = Message(gas, call.to, call.sender, call.value, call.data, code, is_delegation=delegation is not None)
    return state.computation_class.apply_message(state, message, context)


def _outcome(call: CallRequest, computation: ComputationAPI) -> CallOutcome:
    if computation.is_error:
        raise _refusal(computation.error, computation.output)
    spent = min(call.gas, CALL_GAS_CAP) - computation.get_gas_remaining()
    return CallOutcome(output=computation.output, gas_spent=max(spent, calldata_floor(call.data)))


def _refusal(error: VMError, output: bytes) -> Refused:
    if isinstance(error, Revert):
        reason = _reason(output)
        return Refused(EXECUTION_REVERTED, f"execution reverted: {reason}" if reason else "execution reverted", output)
    kind = type(error).__name__
    words = {"OutOfGas": "out of gas", "InvalidInstruction": "invalid opcode", "WriteProtection": "write protection"}
    return Refused(SERVER_ERROR, f"{words.get(kind, kind)}: {error}")


def _reason(output: bytes) -> str:
    """Read the text of `revert("...")`; empty for a custom error, which clients decode themselves."""
    if output[:4] != _REASON_SELECTOR or len(output) < 68:
        return ""
    size = int.from_bytes(output[36:68], "big")
    return output[68 : 68 + size].decode("utf-8", "replace") if size <= len(output) - 68 else ""
