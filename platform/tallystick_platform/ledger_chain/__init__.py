"""The writer's access to a chain, through web3.py and eth-account.

- `client`: one account that deploys the contract, creates a log and makes its entries: nonces, fees, signed bytes, receipts.
- `signers`: who signs its transactions: a key in this process, or a signer behind JSON-RPC. `keys`: where a key is read from.
- `gas`: what a transaction may carry and use. `provider`: web3.py over the ledger's bounded transport. `errors`: what can go wrong.

What the chain says of a log is read by `tallystick.chain`, as auditors read it. web3.py takes a second to import, so nothing here
imports it before a client is made.
"""

from tallystick_platform.ledger_chain.client import LedgerClient, TransactionReceipt, contract_address
from tallystick_platform.ledger_chain.gas import MAX_CALLDATA_BYTES
from tallystick_platform.ledger_chain.keys import read_key_file
from tallystick_platform.ledger_chain.signers import Fees, KeySigner, RemoteSigner, SignedTransaction, Signer, Unsigned

__all__ = [
    "LedgerClient",
    "Signer",
    "KeySigner",
    "RemoteSigner",
    "Unsigned",
    "SignedTransaction",
    "Fees",
    "TransactionReceipt",
    "contract_address",
    "read_key_file",
    "MAX_CALLDATA_BYTES",
]
