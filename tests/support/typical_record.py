"""A chat request of ordinary length and its answer, for measurements."""

from __future__ import annotations

from dataclasses import replace

from tallystick.record import Choice, Instructions, Record, Response, Usage
from tests.support.clocks import FixedClock
from tests.support.journals import completed, would_be

SYSTEM = "You are the assistant of a small library. Answer in a few plain sentences and say so when you do not know."
QUESTION = (
    "My grandmother left me a wooden stick with notches of different widths, split along its length, with some writing on one side. "
    "The dealer called it a tally. What were such sticks used for, why were they split, and can one still tell what mine recorded?"
)
ANSWER = (
    "A tally stick recorded a debt or a payment. The notches gave the amount: by custom a palm's width stood for a thousand pounds, a "
    "thumb's for a hundred, a little finger's for twenty, a swelling barleycorn for one pound, and narrower cuts for shillings and pence. "
    "When the notches and the writing were on it, the stick was split lengthwise, so that both halves carried the same cuts. The creditor "
    "kept the longer half, the stock, and the debtor the shorter, the foil. When the debt was settled the halves were laid together: only "
    "the true pair matched, along the grain as well as in the cuts, so neither side could add or shave off a notch unseen.\n\n"
    "To read yours, measure the notches and compare them with the scheme above, and look for names or a date in the writing, often in "
    "abbreviated Latin. Which half you hold tells which side your family was on. A county record office can usually date the hand."
)


def typical_record() -> Record:
    """A chat request of some eighty words and its answer."""
    clock = FixedClock()
    asked = replace(would_be(clock), admission_seq=41_873, sender_seq=512)
    asked = replace(
        asked, prompt={"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]}
    )
    asked = replace(
        asked, instructions=Instructions(system=SYSTEM, chat_template=None, chat_template_digest=b"\x55" * 32)
    )
    clock.advance(2.418)
    record = completed(asked, clock)
    answer = Response(choices=(Choice(index=0, text=ANSWER, finish_reason="stop"),))
    return replace(record, response=answer, usage=Usage(input_tokens=118, output_tokens=241))
