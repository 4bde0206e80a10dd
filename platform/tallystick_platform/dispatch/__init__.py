"""The API's side of the workers. Nothing here imports torch.

- `dispatcher`: who computes a request. Start reading there.
- `link`: a backend: one worker, the places in it, and what it computes. `placement`: what a record says of it.
- `generation`: one answer on its way.
- `versions`: what the registry offers. `fleet`: versions that are loaded when they are asked for.
- `pool`: worker processes, supervised and restarted. `place`: what each of them runs. `process`: how one is started and reached.
"""
