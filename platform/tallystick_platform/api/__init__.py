"""HTTP in and out. Thin: each handler reads, asks one service, and answers.

- `application`: the routes, and what becomes of errors (`error_table`: the one place where an error gets an HTTP status).
- `edge`: the outermost layer: request ids, the access log, no traceback to anyone.
- `wire`: how models are asked: one package for each wire format, and the handler that all of them share.
- `strict_json`, `body`, `received`: what is read of a request; `replies`, `watched`, `proofs`: what answers are made of.
- `models`, `records`, `ledger`, `operations`: everything else.
- `openapi`, `openapi_answers`, `neutral_schema`, `openapi_page`: the description, and a page of it that needs nothing from anywhere.
- `services`: what all of them serve from.
"""

from tallystick_platform.api.application import create_api
from tallystick_platform.api.services import Services

__all__ = ["Services", "create_api"]
