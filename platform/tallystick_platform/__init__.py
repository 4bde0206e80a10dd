"""The service: an OpenAI-compatible API in front of models, where every request leaves a sealed, anchored record.

A tour along the line of one request (ARCHITECTURE.md draws it):

- `settings`, `clock`, `logs`, `metrics`, `errors`: what everything else stands on.
- `api`: HTTP in and out. `auth`: whose request it is. `admission`: whether there is room for it.
- `exchange`: the straight line itself; the one place where the stages meet.
- `dispatch`, `worker`, `engine`: who computes the answer; torch lives under `engine` alone.
- `sealing`: epoch keys, and the sealing of records for the journal's writer.
- `store`: the journal. Read `store/journal.py` first: its numbered steps are the promise of the product.
- `anchor`: from journal to chain, through `ledger_chain` (web3.py). `embedded_chain`: the chain of a machine that has none.
- `app`, `cli`: start, stop, command line.
"""
