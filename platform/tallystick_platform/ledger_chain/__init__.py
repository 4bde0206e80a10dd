"""The writer's access to a chain, through web3.py and eth-account.

- `client`: one account that deploys the contract, creates a log and makes its entries: nonces, fees, signed bytes, receipts.
- `signers`: who signs its transactions: a key in this process, or a signer behind JSON-RPC. `keys`: where a key is read from.
- `gas`: what a transaction may carry and use. `provider`: web3.py over the ledger's bounded transport. `errors`: what can go wrong.

What the chain says of a log is read by `tallystick.chain`, as auditors read it. web3.py takes a second to import, so nothing here
imports it before a client is made.
"""
