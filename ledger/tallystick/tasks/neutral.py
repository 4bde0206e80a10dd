"""Values that change nothing: a client that sends them gets the same answer as one that leaves them out.

A service may accept them for parameters that it does not offer, and a replay may run without them. Any other value of such a parameter
would change the answer. The reader keeps them, so that the record holds the request as it was sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import Value
from tallystick.tasks.comparison import same_value


@dataclass(frozen=True, slots=True)
class Neutral:
    """The values of one parameter that change nothing, null always among them.

    `any_of` are types of which every value changes nothing: labels, and switches of what is not there.
    """

    values: tuple[Value, ...] = ()
    any_of: tuple[type, ...] = ()

    def holds(self, value: Value) -> bool:
        """Whether the value changes nothing."""
        return value is None or type(value) in self.any_of or any(same_value(one, value) for one in self.values)


_ZERO: Final = Neutral((0,))
_ONE: Final = Neutral((1,))
_OFF: Final = Neutral((False,))
_ON: Final = Neutral((True,))
_NONE: Final = Neutral(([],))
_NULL: Final = Neutral()
_LABEL: Final = Neutral(any_of=(str,))
_HINT: Final = Neutral(any_of=(dict,))

_WHO_ASKS: Final[Mapping[str, Neutral]] = {
    "user": _LABEL,
    "safety_identifier": _LABEL,
    "metadata": _HINT,
    # how the service goes about it
    "store": _OFF,
    "service_tier": Neutral(("auto", "default", "standard_only")),
    "priority": _ZERO,
}
_DRAWN: Final[Mapping[str, Neutral]] = {
    # what the tokens are drawn with
    "length_penalty": _ONE,
    "use_beam_search": _OFF,
    # what is answered
    "prompt_logprobs": _NULL,
    "include_stop_str_in_output": _OFF,
    "skip_special_tokens": _ON,
}

CHAT: Final[Mapping[str, Neutral]] = {
    **_DRAWN,
    "echo": _OFF,
    "modalities": Neutral((["text"],)),
    "audio": _NULL,
    "reasoning_effort": Neutral(("none",)),
    "verbosity": Neutral(("medium",)),
    # of responses
    "reasoning": Neutral(({}, {"effort": "none"})),
    "truncation": Neutral(("disabled",)),
    "background": _OFF,
    "include": _NONE,
    # tools by their older names
    "functions": _NONE,
    "function_call": Neutral(("none", "auto")),
    "web_search_options": _NULL,
    "mcp_servers": _NONE,
    "thinking": Neutral(({"type": "disabled"},)),
    "prediction": _NULL,
    "prompt_cache_key": _LABEL,
    "prompt_cache_retention": _NULL,
    **_WHO_ASKS,
    "store": Neutral(any_of=(bool,)),  # whatever is asked is recorded
}
"""Parameters of a chat beside those that say what is drawn and answered."""

RESPONSES: Final[Mapping[str, Neutral]] = {**CHAT, "conversation": _NULL, "prompt": _NULL, "max_tool_calls": _NULL}
"""The same of a chat that is asked for as a response."""

COMPLETION: Final[Mapping[str, Neutral]] = {
    **_DRAWN,
    "suffix": Neutral(("",)),
    "add_special_tokens": _ON,
    **_WHO_ASKS,
}
"""Parameters of a completion beside those that say what is drawn and answered."""

_WHOLE: Final[Mapping[str, Neutral]] = {
    # of texts that are read as they are
    "add_special_tokens": _ON,
    "truncate": _OFF,
    "truncation_direction": Neutral(("right", "Right")),
    **_WHO_ASKS,
}

EMBEDDING: Final[Mapping[str, Neutral]] = {"encoding_format": Neutral(("float", "base64")), **_WHOLE}
"""Parameters of an embedding beside its own. The encoding is how a vector travels, and not what it is."""

RERANK: Final[Mapping[str, Neutral]] = {
    # what is delivered beside the scores
    "return_documents": Neutral(any_of=(bool,)),
    "return_text": Neutral(any_of=(bool,)),
    "max_chunks_per_doc": _NULL,
    "rank_fields": _NULL,
    **_WHOLE,
}
"""Parameters of a rerank request beside its own."""

CLASSIFICATION: Final[Mapping[str, Neutral]] = _WHOLE
"""Parameters of a request for labels or entities beside its own."""

TRANSLATION: Final[Mapping[str, Neutral]] = {"do_sample": _OFF, "format": Neutral(("text",)), "stream": _OFF, **_WHOLE}
"""Parameters of a translation beside its own: nothing is drawn, and nothing is streamed."""

TRANSCRIPTION: Final[Mapping[str, Neutral]] = {
    "stream": _OFF,
    "include": _NONE,
    "chunking_strategy": Neutral(("auto",)),
    "user": _LABEL,
}
"""Parameters of a transcription beside those that say how it is made and written. Long sound is cut into windows unasked."""

SPEECH: Final[Mapping[str, Neutral]] = {
    "instructions": Neutral(("",)),
    "stream_format": Neutral(("audio",)),
    **_WHO_ASKS,
}
"""Parameters of speech beside those that say how it sounds."""

IMAGE: Final[Mapping[str, Neutral]] = {
    "background": Neutral(("auto", "opaque")),
    "moderation": Neutral(("auto", "low")),
    "output_format": Neutral(("png",)),
    "output_compression": Neutral((100,)),
    "partial_images": _ZERO,
    "quality": Neutral(("auto", "standard")),
    "stream": _OFF,
    "style": _NULL,
    "high_noise_frac": Neutral(any_of=(int, float)),  # where a second model would take over, and there is none
    **_WHO_ASKS,
}
"""Parameters of pictures beside those that say how they are drawn."""

PREDICTION: Final[Mapping[str, Neutral]] = {
    "signature_name": Neutral(("serving_default",)),
    "params": Neutral(({},)),
    **_WHO_ASKS,
}
"""Parameters of a prediction beside the table."""

MESSAGE: Final[Mapping[str, Neutral]] = {
    "name": _LABEL,
    "refusal": _NULL,
    "annotations": _NONE,
    "audio": _NULL,
    "tool_calls": _NONE,
    "tool_call_id": _NULL,
    "function_call": _NULL,
    "reasoning": _NULL,
    "reasoning_content": _NULL,
    "cache_control": _HINT,
}
"""Members of a message beside its role and content."""

TOOL: Final[Mapping[str, Neutral]] = {"cache_control": _HINT}
"""Members of a tool beside its type and function."""

CALL: Final[Mapping[str, Neutral]] = {"index": Neutral(any_of=(int,))}
"""Members of a tool's call in a history beside its id, type and function."""

PART: Final[Mapping[str, Neutral]] = {
    "annotations": _NONE,
    "cache_control": _HINT,
    "file": _NULL,
    "image_url": _NULL,
    "input_audio": _NULL,
    "refusal": _NULL,
}
"""Members of a text part of a message beside its type and text."""


ACTS: Final = "is not known here, or has a value that may change the answer"
"""Why `require` refuses a member."""


def acting(members: Mapping[str, Value], known: Mapping[str, Neutral], beside: Collection[str]) -> str | None:
    """The first member that may change something; None where all of them can be left out, those named in `beside` not counted."""
    for name, value in members.items():
        if name not in beside and not (name in known and known[name].holds(value)):
            return name
    return None


def require(
    members: Mapping[str, Value], known: Mapping[str, Neutral], beside: Collection[str], where: str = ""
) -> None:
    """Raises: RequestError, naming the first member that may change something, below `where`."""
    name = acting(members, known, beside)
    if name is not None:
        raise RequestError(f"{where}.{name}" if where else name, ACTS)
