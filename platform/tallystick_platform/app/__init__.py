"""Starting, running and stopping the service.

- `starting`: the order in which the parts start, and stop. Start reading there.
- `service`: the started service as its HTTP surface sees it: readiness, the drain.
- `serving`, `listening`: the socket, the server, signals. `banner`: what a person reads when it is ready.
- `workers`, `catalog`, `models`, `exports`, `jobs`: the parts that answer for models. `economy`: what keeps a request cheap.
- `chain_process`: the embedded chain as a supervised child; the workers' supervision is `dispatch.pool`.
"""
