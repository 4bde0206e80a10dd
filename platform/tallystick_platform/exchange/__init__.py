"""The exchange: authenticate -> admit -> infer -> seal -> journal -> receipt, one request at a time.

- `request`: what is asked, and the parameters that it really runs with.
- `line`: the stages in order, and what an early end does in each. Start reading there.
- `events`: the same line for what is not a chat, and work that is recorded when it is accepted and again when it is over.
- `committing`: the commit of its record.
- `records`: the record that would stand, and the record that will.
- `tally`, `faults`: what was computed and delivered, and why no more than that.
- `parts`: the neighbours: journal, dispatcher, gate, clock, randomness.
"""

from tallystick_platform.exchange.events import AdmittedEvent, Delivered, Event, EventLine, Recorded, Work
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.faults import (
    AnswerWithheld,
    Cancelled,
    ClientLeft,
    ServerStopped,
    StopReason,
    WorkFailed,
)
from tallystick_platform.exchange.line import Admitted, Answer, Deliver, Line
from tallystick_platform.exchange.parts import Dispatcher, Gate, Journal, Parts
from tallystick_platform.exchange.request import ChatRequest, Effective, HttpFacts, defaults

__all__ = [
    "Exchange",
    "Line",
    "Event",
    "EventLine",
    "AdmittedEvent",
    "Work",
    "WorkFailed",
    "Delivered",
    "Recorded",
    "Parts",
    "Journal",
    "Dispatcher",
    "Gate",
    "ChatRequest",
    "HttpFacts",
    "Effective",
    "defaults",
    "Admitted",
    "Answer",
    "Deliver",
    "StopReason",
    "AnswerWithheld",
    "Cancelled",
    "ClientLeft",
    "ServerStopped",
]
