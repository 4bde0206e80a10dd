"""From journal to chain.

- `anchorer`: the numbered order, one pass over it, and which records make the next batch. Start reading there.
- `courier`: signing, sending, fees, and what a node's refusal means. `landing`: how much of the journal's
  log the chain holds, or that it holds another; where a row landed.
- `service`: runs the passes, and decides by an error when the next comes. `status`: what was done and what waits.
- `bootstrap`, `location`: finding the log before the service starts, or making it.
- `adoption`, `foreign`: taking a log over with a journal that was restored from a backup.
- `policy`: settings and bounds. `errors`: what can keep a record from the chain.
"""
