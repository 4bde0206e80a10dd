"""An EVM chain for a machine that has none: py-evm over SQLite, in a process of its own, answering JSON-RPC on loopback.

`python -m tallystick_platform.embedded_chain --path DIR` starts it. A tour, from the bottom up:

- `rules`: the constants, and py-evm set up for them. `errors`: reasons not to open, and refusals.
- `storage`: SQLite, one SQL transaction for each block, and what py-evm sees of it. `index`: blocks, transactions and logs in rows.
- `intake`: what may wait. `pool`: where it waits. `producer`: how a block is made. `chain`: all of it together, from the first block on.
- `execution`: calls and estimates. `params`, `render`, `fees`, `methods`, `dispatch`: JSON-RPC, without the transport.
- `server`: HTTP, threads and the clock that makes blocks.
"""
