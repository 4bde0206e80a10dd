"""What one transaction may carry, and the gas that it is given.

A limit is computed, never estimated by a node: a batch whose predecessor is not mined yet would fail in the node's estimate, since the
contract refuses its head until then. Gas that is not used costs nothing.
"""

from __future__ import annotations

from typing import Final

MAX_TRANSACTION_BYTES: Final = 131_072
"""Public nodes keep no longer transaction in their pools."""
MAX_TRANSACTION_GAS: Final = 16_777_216
"""No block may hold a transaction with a higher gas limit. Source: EIP-7825."""
OVERHEAD_BYTES: Final = 200
"""The bytes of a signed transaction beside its calldata, rounded up."""
MAX_CALLDATA_BYTES: Final = MAX_TRANSACTION_BYTES - OVERHEAD_BYTES

CREATE: Final = 32_000
PER_INIT_CODE_WORD: Final = 2
"""Source: EIP-3860."""
_TRANSACTION: Final = 21_000
_PER_TOKEN: Final = 4
_FLOOR_PER_TOKEN: Final = 10
_STORAGE: Final = 250_000
_PER_RECORD: Final = 8_000
_PER_BYTE: Final = 13
"""What executing a call may use at most: storage once, then for each record its hashes, and for each byte of calldata its log data (8),
hashing and copying. `tests/platform/ledger_chain/test_gas.py` holds these to the contract."""
_PER_CODE_BYTE: Final = 200
_CONSTRUCTOR: Final = 50_000


def call_gas(data: bytes, items: int) -> int:
    """A gas limit for a call with this calldata, which holds so many records or wraps.

    Source: EIP-2028, EIP-7623
    """
    executed = _STORAGE + _PER_RECORD * items + _PER_BYTE * len(data)
    return max(intrinsic_gas(data) + executed, calldata_floor(data))


def deployment_gas(code: bytes) -> int:
    """A gas limit for deploying this initialisation code, as if all of it were kept.

    Source: EIP-3860, EIP-7623
    """
    words = (len(code) + 31) // 32
    executed = CREATE + PER_INIT_CODE_WORD * words + _PER_CODE_BYTE * len(code) + _CONSTRUCTOR
    return max(intrinsic_gas(code) + executed, calldata_floor(code))


def intrinsic_gas(data: bytes) -> int:
    """The gas that a call with this calldata pays before it executes.

    Source: EIP-2028
    """
    return _TRANSACTION + _PER_TOKEN * _tokens(data)


def calldata_floor(data: bytes) -> int:
    """The least gas that a transaction with this calldata uses, however little it executes.

    Source: EIP-7623
    """
    return _TRANSACTION + _FLOOR_PER_TOKEN * _tokens(data)


def _tokens(data: bytes) -> int:
    """Calldata in tokens: one for a zero byte, four for another. Source: EIP-7623."""
    return 4 * len(data) - 3 * data.count(0)
