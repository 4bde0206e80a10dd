"""The exchange: authenticate -> admit -> work -> seal and journal -> receipt, one request at a time.

- `request`: what is asked.
- `line`: the stages in order, and what an early end does in each. Start reading there.
- `inference`: the work of most requests, an answer of a model.
- `records`: the draft that stands if the process dies, and the record of what happened.
- `committing`: the commit of a record.
- `faults`: why a request did not complete.
- `exchange`: starts lines, and records work that takes longer than a line may.
- `parts`: the neighbours: journal, dispatcher, gate, clock, randomness.
"""
