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

from __future__ import annotations

from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.faults import (
    AnswerWithheld,
    Cancelled,
    ClientLeft,
    ServerStopped,
    StopReason,
    WorkFailed,
)
from tallystick_platform.exchange.inference import Deliver
from tallystick_platform.exchange.line import Admitted, Announce, Line, Recorded, Work
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.records import Delivered, Event
from tallystick_platform.exchange.request import Asked, HttpFacts

__all__ = [
    "Exchange",
    "Line",
    "Work",
    "Admitted",
    "Announce",
    "Recorded",
    "Deliver",
    "Event",
    "Delivered",
    "Asked",
    "HttpFacts",
    "Parts",
    "StopReason",
    "AnswerWithheld",
    "WorkFailed",
    "Cancelled",
    "ClientLeft",
    "ServerStopped",
]
