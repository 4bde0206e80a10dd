"""HTTP in and out. Thin: each handler reads, asks one service, and answers.

- `application`: the routes, and what becomes of errors (`error_table`: how each is answered, as its class says).
- `edge`: the outermost layer: request ids, the access log, no traceback to anyone.
- `wire`: how models are asked: one package for each wire format, and the handler that all of them share.
- `strict_json`, `body`, `received`: what is read of a request; `replies`, `watched`, `proofs`: what answers are made of.
- `models`, `records`, `ledger`, `operations`: everything else.
- `endpoint`: how a handler is declared; `openapi`: the description, made from that; `openapi_page`: a page of it.
- `services`: what all of them serve from.
"""

from tallystick_platform.api.application import create_api
from tallystick_platform.api.services import Services

__all__ = ["Services", "create_api"]
