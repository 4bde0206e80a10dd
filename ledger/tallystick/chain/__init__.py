"""The chain as a client sees it, over JSON-RPC, from a node that nobody has to trust.

A tour, from the wire up:

- `wire`: JSON values of the protocol, checked for type and length. `rpc`: one bounded HTTP connection to a node.
- `words`: the contract ABI in 32-byte words. `calldata`, `events`, `reverts`: the contract's functions, events and errors.
- `packing`: the records of a batch as one byte string. `calls`: what a signed transaction asked of the contract.
- `artifact`: the compiled contract that the code on chain is compared with.
- `reader`, with `scan` for the paging: what an auditor asks. `sender`, with `transaction`: what the writer sends.

Two errors matter to a caller: `ChainUnavailable`, nothing was learned and the question may be put again, and
`ChainRejected`, the node or the contract said no; `ContractReverted` then names the contract's error and its arguments.
"""

from tallystick.chain.artifact import ContractArtifact, load_artifact
from tallystick.chain.calldata import BatchInfo, LogState, LogTermsOnChain, WriterSpan
from tallystick.chain.events import (
    BatchAppended,
    BatchCommitted,
    EpochOpened,
    LedgerEvent,
    LogCreated,
    LogPosition,
    NumbersVoided,
    WriterRotated,
)
from tallystick.chain.packing import PackedRecord, PackingError, pack_records, packed_size, unpack_records
from tallystick.chain.reader import Block, ContractMissing, LedgerReader, LogMissing
from tallystick.chain.reverts import ContractReverted
from tallystick.chain.rpc import HttpTransport, Transport
from tallystick.chain.scan import Page
from tallystick.chain.sender import LedgerSender, TransactionReceipt, TransactionTooLarge, append_calldata_size
from tallystick.chain.transaction import (
    MAX_TRANSACTION_BYTES,
    MAX_TRANSACTION_GAS,
    Fees,
    SignedTransaction,
    contract_address,
)
from tallystick.chain.wire import MalformedAnswer

__all__ = [
    "HttpTransport",
    "Transport",
    "LedgerReader",
    "LedgerSender",
    "Block",
    "LogState",
    "LogTermsOnChain",
    "BatchInfo",
    "WriterSpan",
    "Page",
    "LedgerEvent",
    "LogPosition",
    "LogCreated",
    "BatchAppended",
    "BatchCommitted",
    "EpochOpened",
    "WriterRotated",
    "NumbersVoided",
    "PackedRecord",
    "PackingError",
    "pack_records",
    "packed_size",
    "unpack_records",
    "ContractArtifact",
    "load_artifact",
    "Fees",
    "SignedTransaction",
    "TransactionReceipt",
    "MAX_TRANSACTION_BYTES",
    "MAX_TRANSACTION_GAS",
    "append_calldata_size",
    "contract_address",
    "ContractMissing",
    "ContractReverted",
    "LogMissing",
    "MalformedAnswer",
    "TransactionTooLarge",
]
