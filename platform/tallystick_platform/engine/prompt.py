"""Messages to prompt tokens, so that text from a message is never a control token.

    plain   = template(messages)                      what the transformers library would tokenize
    marked  = template with secret marks (messages)   the same, where control tokens of the template's own are marks
    tokens  = copy of the tokenizer (marked)          it knows marks, and the text `<|im_end|>` as any other text

An ordinary prompt has exactly the ids of `apply_chat_template`. A template that cannot be followed so, because it looks at its own control
tokens or puts them together from parts, is tokenized plainly, and then messages that hold control tokens are refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog
from tokenizers import Tokenizer

from tallystick_platform.engine.chat_template import ChatTemplate
from tallystick_platform.engine.control_marks import ControlMarks
from tallystick_platform.errors import PromptRejected

_PROBES: tuple[Sequence[Mapping[str, object]], ...] = (
    ({"role": "user", "content": "One?"},),
    ({"role": "system", "content": "Be brief."}, {"role": "user", "content": " Two\n"}),
    (
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Two?"},
    ),
)
"""Conversations that a template is tried on; a template may refuse some of them."""

_log = structlog.get_logger(__name__)

Messages = Sequence[Mapping[str, object]]


class PromptEncoder:
    """A model's template and tokenizer together. `ends` are the ids that end a turn, declared as special tokens or not."""

    __slots__ = ("_controls", "_copy", "_marked", "_marks", "_template", "_tokenizer")

    def __init__(
        self,
        template: ChatTemplate,
        tokenizer: Tokenizer,
        ends: frozenset[int] = frozenset(),
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        controls = _controls(template, tokenizer, ends)
        self._template, self._tokenizer = template, tokenizer
        self._controls = frozenset(controls)
        self._marks = ControlMarks(controls.values(), random)
        self._copy: Tokenizer | None = None
        try:
            self._marked = template.marked(self._marks)
            self._copy = self._marks.tokenizer(tokenizer)
            followed = all(self._follows(probe) for probe in _PROBES)
        except (PromptRejected, ValueError) as error:
            _log.info("engine.template_not_followed", reason=str(error)[:200])
            followed = False
        if not followed:
            self._copy = None
            _log.warning("engine.control_tokens_in_messages_are_refused")

    @property
    def follows(self) -> bool:
        """Whether messages with control tokens are taken, as text; otherwise they are refused."""
        return self._copy is not None

    def encode(self, messages: Messages) -> list[int]:
        """The prompt's tokens. Raises: PromptRejected."""
        plain = self._template.render(messages)
        if self._copy is not None:
            ids = self._as_text(messages, plain, self._copy)
            if ids is not None:
                return ids
        if self._hold_controls(messages):
            raise PromptRejected(
                reason="a message holds control tokens, which this model's template would take for its own"
            )
        return _ids(self._tokenizer, plain)

    def _as_text(self, messages: Messages, plain: str, copy: Tokenizer) -> list[int] | None:
        """The tokens by way of the marks; None where the template did something else over marks than over its own text."""
        try:
            marked = self._marked.render(messages)
        except PromptRejected:
            return None
        return _ids(copy, marked) if self._marks.unmark(marked) == plain else None

    def _follows(self, probe: Messages) -> bool:
        """Whether an ordinary conversation gets the very ids that it has without marks."""
        try:
            plain = self._template.render(probe)
        except PromptRejected:
            return True  # not a conversation for this model
        return self._copy is not None and self._as_text(probe, plain, self._copy) == _ids(self._tokenizer, plain)

    def _hold_controls(self, messages: Messages) -> bool:
        """Whether a text of the messages has a control token to the plain tokenizer, or those of one name put together have."""
        named: dict[str, list[str]] = {}
        for message in messages:
            for name, text in _texts(message):
                named.setdefault(name, []).append(text)
        whole = ["".join(texts) for texts in named.values()]
        single = [text for texts in named.values() for text in texts]
        return any(not self._controls.isdisjoint(_ids(self._tokenizer, text)) for text in [*single, *whole])


def _controls(template: ChatTemplate, tokenizer: Tokenizer, ends: frozenset[int]) -> dict[int, str]:
    """What acts on the model by itself: special tokens, end tokens, and whatever else of the added tokens the template writes."""
    found = {
        token_id: token.content
        for token_id, token in tokenizer.get_added_tokens_decoder().items()
        if token.special or (token.content.strip() and token.content in template.source)
    }
    for token_id in ends:
        text = tokenizer.id_to_token(token_id)
        if text is not None:
            found.setdefault(token_id, text)
    return found


def _texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a message with the name that it stands under; names are texts, too."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield "", str(key)
            yield from _texts(item, str(key))
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item, name)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
