"""HTTP in and out. Thin: each handler reads, asks one service, and answers.

- `application`: the routes, and how errors are answered (`error_table`, from each error's class).
- `edge`: the outermost layer: request ids, the access log, no traceback to anyone. `cors`: pages of other origins.
- `idempotency`: a POST that is repeated under its key gets the answer that it got.
- `wire`: how models are asked: one package for each wire format, and the handler that all of them share.
- `strict_json`, `body`, `received`, `query`, `ranges`, `credentials`: reading requests. `refusals`: errors of HTTP itself.
- `replies`, `watched`, `proofs`: making answers.
- `spelling`: requests that come within a job, read by the wires of their addresses; `jobs`, `remote_jobs`, `files`, `batches`: the
  handlers of the ways of asking for jobs.
- `models`, `loading`, `registry`, `uploads`, `exports`, `downloads`, `records`, `generations`, `ledger`, `operations`: the handlers.
- `endpoint`: how a handler is declared; `openapi`: the description, made from that; `openapi_page`: a page of it.
- `services`: the parts of the service that handlers ask. `ledger_desk`: the log as they show it.
"""

from tallystick_platform.api.application import create_api
from tallystick_platform.api.services import Services

__all__ = ["Services", "create_api"]
