"""The service: an OpenAI-compatible API in front of models, where every request leaves a sealed, anchored record.

A tour along the line of one request (ARCHITECTURE.md draws it):

- `settings`, `clock`, `logs`, `metrics`, `errors`, `protocol`: what all the rest uses. `keyring`: the keys that it runs with.
- `api`: HTTP in and out. `auth`: whose request it is. `admission`: whether there is room for it.
- `exchange`: the straight line itself; the one place where the stages meet.
- `tasks`: what a request means. `dispatch`, `worker`, `engine`: who computes the answer; only `engine` and `exporter` import torch.
- `store`: the journal, and the sealing of its records. Read `store/group.py` first: its numbered steps are the promise of the product.
- `registry`, `formats`: models, and what their files are. `jobs`, `exporter`: exports and downloads.
- `anchor`: from journal to chain, through `ledger_chain` (web3.py). `embedded_chain`: the chain of a machine that has none.
- `app`, `cli`: start, stop, command line.
"""
