"""The chain as an auditor sees it, over JSON-RPC, from a node that nobody has to trust.

A tour, from the wire up:

- `connection`: one HTTP connection on which nothing waits past a deadline. `answers`: JSON-RPC answers within bounds. `rpc`: both, with
  patience where a node asks for it. `wire`: JSON values of the protocol, checked for type and length.
- `words`: the contract ABI in 32-byte words. `views`, `events`, `reverts`: the contract's views, events and errors.
- `packing`: the records of a batch as one byte string. `calls`: what a signed transaction asked of the contract.
- `artifact`: the compiled contract that the code on chain is compared with.
- `reader`: what an auditor asks, with `scan` for the paging, and `entries` for what a node leaves out.
- `transaction`, `authorship`: who signed an entry, computed from the transaction that made it.
- `faults`: what can be wrong with a node without any fault of the writer.

Two errors matter to a caller: `ChainUnavailable`, nothing was learned and the question may be put again, and
`ChainRejected`, the node or the contract said no; `ContractReverted` then names the contract's error and its arguments.
"""
