"""What a record says that no log and no bundle can contradict: the writer's word, counted as that beside what was checked.

Such a note takes nothing from a proof and adds nothing to it. Who keeps what came with an answer can settle some of them.
"""

from __future__ import annotations

from typing import Final

from tallystick.record import Record, Request
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Step

CLAIMED: Final = "claimed, not proven: "
ASKED: Final = f"{CLAIMED}that this is what was asked; what its sender kept would show it: the receipt, the admission"
ANSWERED: Final = (
    f"{CLAIMED}that this is what was answered; what its sender kept would show it: the receipt, the answer"
)
MODEL: Final = f"{CLAIMED}that the model which is named gave the answer; --model DIR --replay runs one prompt again"
NO_MODEL: Final = f"{CLAIMED}that no model gave the answer; the record names none, whatever was asked for"
DEVICE: Final = f"{CLAIMED}hardware, provider, and device time within these times"
PRICE: Final = f"{CLAIMED}the price and the counts that the charge follows from; compare them with what was agreed"
SENDER: Final = f"{CLAIMED}that this sender asked; it showed a token, which only the operator saw"
NEWEST: Final = f"{CLAIMED}that nothing was admitted after number {{}}; an admission would show what was withheld"


class Claims:
    """Counts over opened records, told once at the end."""

    __slots__ = ("_answers_compared", "_devices", "_models", "_nameless", "_prices", "_requests_compared", "_taken")

    def __init__(self) -> None:
        self._taken = self._devices = self._prices = self._models = self._nameless = 0
        self._requests_compared: set[int] = set()
        self._answers_compared: set[int] = set()

    def take(self, record: Record) -> None:
        """Take an opened record."""
        self._taken += 1
        self._prices += record.price is not None
        self._models += record.model is not None and record.response is not None
        self._nameless += _hides_its_model(record)
        self._devices += record.price is not None or record.gpu is not None or record.provider is not None

    def compare(self, index: int, *, request: bool, answer: bool) -> None:
        """What a record says of its request or its answer was held against what its sender kept."""
        if request:
            self._requests_compared.add(index)
        if answer:
            self._answers_compared.add(index)

    def tell(self, tally: Tally) -> None:
        """Note what is left to the writer's word."""
        for step, text, count in (
            (Step.REQUEST_BINDING, ASKED, self._taken - len(self._requests_compared)),
            (Step.RESPONSE_BINDING, ANSWERED, self._taken - len(self._answers_compared)),
            (Step.RESPONSE_BINDING, MODEL, self._models),
            (Step.RESPONSE_BINDING, NO_MODEL, self._nameless),
            (Step.TIMES, DEVICE, self._devices),
            (Step.PRICE_ARITHMETIC, PRICE, self._prices),
        ):
            if count > 0:
                tally.note(step, text, count)


def note_shown(tally: Tally, record: Record, shown: frozenset[str], *, replayed: bool) -> None:
    """The same for one record's evidence, of which the fields `shown` are known: its receipt came from the same hands."""
    if "request" in shown:
        tally.note(Step.REQUEST_BINDING, ASKED)
    if "response" in shown:
        tally.note(Step.RESPONSE_BINDING, ANSWERED)
    if "model" in shown and record.model is not None and not replayed:
        tally.note(Step.RESPONSE_BINDING, MODEL)
    if {"model", "request", "response"} <= shown and _hides_its_model(record):
        tally.note(Step.RESPONSE_BINDING, NO_MODEL)
    if shown & {"gpu", "provider", "price"}:
        tally.note(Step.TIMES, DEVICE)
    if "price" in shown and record.price is not None:
        tally.note(Step.PRICE_ARITHMETIC, PRICE)


def _hides_its_model(record: Record) -> bool:
    """Whether an answer stands beside no model, though its request had to name one."""
    request = record.request
    answered = record.model is None and record.response is not None
    return answered and isinstance(request, Request) and not request.reader.startswith("download/")
