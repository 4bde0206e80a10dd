"""Messages, and texts as they stand, to prompt tokens, so that what a client wrote is never a control token.

    plain   = template(messages)                      what the transformers library would tokenize
    marked  = template with secret marks (messages)   the same, where control tokens of the template's own are marks
    tokens  = copy of the tokenizer (marked)          it knows marks, and the text `<|im_end|>` as any other text

An ordinary prompt has exactly the ids of `apply_chat_template`. A template that cannot be followed so, because it looks at its own control
tokens or puts them together from parts, is tokenized plainly, and then messages that hold control tokens are refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog
from tokenizers import Encoding, Tokenizer

from tallystick_platform.engine.chat_template import ChatTemplate
from tallystick_platform.engine.control_marks import ControlMarks
from tallystick_platform.errors import ModelUnusable, PromptRejected, PromptTooLong, kind_of
from tallystick_platform.tasks import given_template

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

CHARS_PER_TOKEN = 64
"""A text of more characters for each token that fits is looked at by its beginning first: reading a megabyte takes half a second."""


class TextEncoder:
    """A model's tokenizer for texts as they stand. `ends` are the ids that end a turn, declared as special tokens or not."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        ends: frozenset[int] = frozenset(),
        random: Callable[[int], bytes] = secrets.token_bytes,
        written: str = "",
    ) -> None:
        controls = _controls(written, tokenizer, ends)
        self._tokenizer = tokenizer
        self._controls = frozenset(controls)
        self._marks = ControlMarks(controls.values(), random)
        self._copy: Tokenizer | None = None
        try:
            self._copy = self._marks.tokenizer(tokenizer)
        except ValueError as error:
            _log.warning("engine.control_tokens_in_texts_are_refused", reason=str(error)[:200])

    def encode(self, messages: Messages, longest: int | None = None, tools: Messages = ()) -> list[int]:  # noqa: ARG002
        """The tokens of a conversation. Raises: PromptRejected, for there is no template."""
        raise PromptRejected(reason="the model has no chat template: it takes prompts as they stand, and no messages")

    def encode_given(self, messages: Messages, template: str, longest: int | None = None) -> list[int]:
        """The tokens of a conversation in a template that came with it, whose control tokens are such; those of messages are text.

        Raises: PromptRejected, also where the tokenizer cannot be told the two apart; PromptTooLong.
        """
        plain = given_template.render(template, messages)
        _refuse_endless(self._tokenizer, plain, longest)
        if self._controls.isdisjoint(_ids(self._tokenizer, plain)):
            return _ids(self._tokenizer, plain)
        marked = given_template.render(template, messages, self._marks.template)
        if self._copy is None or self._marks.unmark(marked) != plain:
            raise PromptRejected(
                reason="the chat template looks at control tokens of this model, and cannot be followed"
            )
        return _ids(self._copy, marked)

    def encode_text(self, text: str, longest: int | None = None) -> list[int]:
        """A text's tokens.

        Raises: PromptRejected for control tokens in it, where the tokenizer cannot be told that they are text; PromptTooLong.
        """
        ids: list[int] = self.encode_row(text, longest=longest).ids
        return ids

    def encode_row(
        self, text: str, pair: str | None = None, longest: int | None = None, *, cut: bool = False
    ) -> Encoding:
        """A text, or two of them, with what the tokenizer puts around them; the last one is `cut` at its end to so many in all.

        Raises: PromptRejected, PromptTooLong, the latter only for what is far too long.
        """
        if cut and longest is not None:  # a text is read no further than it can matter
            text, pair = text[: CHARS_PER_TOKEN * longest], None if pair is None else pair[: CHARS_PER_TOKEN * longest]
        for one in (text, pair or ""):
            _refuse_endless(self._tokenizer, one, longest)
        tokenizer, given = self._tokenizer, [one for one in (text, pair) if one is not None]
        if any(not self._controls.isdisjoint(_ids(tokenizer, one)) for one in given):
            if self._copy is None:
                raise PromptRejected(
                    reason="the text holds control tokens of this model, which would be taken for such"
                )
            tokenizer = self._copy
        if longest is None or not cut:
            return tokenizer.encode(text, pair)
        parts = [tokenizer.encode(one, add_special_tokens=False) for one in given]
        room = longest - tokenizer.num_special_tokens_to_add(pair is not None) - sum(map(len, parts[:-1]))
        if room < 1:
            raise PromptRejected(reason=f"{longest} tokens leave no room for any of the text")
        parts[-1].truncate(room)
        return tokenizer.post_process(parts[0], parts[1] if pair is not None else None)


class PromptEncoder(TextEncoder):
    """A model's template and tokenizer together."""

    def __init__(
        self,
        template: ChatTemplate,
        tokenizer: Tokenizer,
        ends: frozenset[int] = frozenset(),
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__(tokenizer, ends, random, template.source)
        self._template = template
        followed = self._copy is not None
        try:
            self._marked = template.marked(self._marks)
            followed = followed and all(self._follows(probe) for probe in _PROBES)
        except (PromptRejected, ValueError) as error:
            _log.info("engine.template_not_followed", reason=str(error)[:200])
            followed = False
        self.follows = followed
        """Whether messages with control tokens are taken, as text; otherwise they are refused."""
        if not followed:
            _log.warning("engine.control_tokens_in_messages_are_refused")

    def encode(self, messages: Messages, longest: int | None = None, tools: Messages = ()) -> list[int]:
        """The prompt's tokens. Raises: PromptRejected, PromptTooLong."""
        plain = self._template.render(messages, tools)
        _refuse_endless(self._tokenizer, plain, longest)
        ids = self._as_text(messages, tools, plain) if self.follows else None
        if ids is not None:
            return ids
        if self._hold_controls([*messages, *tools]):
            raise PromptRejected(
                reason="a message holds control tokens, which this model's template would take for its own"
            )
        return _ids(self._tokenizer, plain)

    def _as_text(self, messages: Messages, tools: Messages, plain: str) -> list[int] | None:
        """The tokens by way of the marks; None where the template did something else over marks than over its own text."""
        try:
            marked = self._marked.render(messages, tools)
        except PromptRejected:
            return None
        return _ids(self._copy, marked) if self._copy is not None and self._marks.unmark(marked) == plain else None

    def _follows(self, probe: Messages) -> bool:
        """Whether an ordinary conversation gets the very ids that it has without marks."""
        try:
            plain = self._template.render(probe)
        except PromptRejected:
            return True  # not a conversation for this model
        return self._as_text(probe, (), plain) == _ids(self._tokenizer, plain)

    def _hold_controls(self, messages: Messages) -> bool:
        """Whether a text of the messages has a control token to the plain tokenizer, or those of one name put together have."""
        named: dict[str, list[str]] = {}
        for message in messages:
            for name, text in _texts(message):
                named.setdefault(name, []).append(text)
        whole = ["".join(texts) for texts in named.values()]
        single = [text for texts in named.values() for text in texts]
        return any(not self._controls.isdisjoint(_ids(self._tokenizer, text)) for text in [*single, *whole])


def checked_tokens(tokens: list[int], vocabulary: int) -> list[int]:
    """The same tokens. Raises: PromptRejected for none, and for one that a model with so many does not know."""
    if not tokens:
        raise PromptRejected(reason="the prompt is empty")
    for token in (max(tokens), min(tokens)):
        if not 0 <= token < vocabulary:
            raise PromptRejected(reason=f"the prompt has the token {token}, and the model knows {vocabulary}")
    return tokens


def _controls(written: str, tokenizer: Tokenizer, ends: frozenset[int]) -> dict[int, str]:
    """What acts on the model by itself: special tokens, end tokens, and whatever else of the added tokens a template has written."""
    found = {
        token_id: token.content
        for token_id, token in tokenizer.get_added_tokens_decoder().items()
        if token.special or (token.content.strip() and token.content in written)
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


def _refuse_endless(tokenizer: Tokenizer, text: str, longest: int | None) -> None:
    """Raises: PromptTooLong for a text that is far too long, before all of it is read. Words that are cut may have a few tokens more."""
    if longest is not None and len(text) > CHARS_PER_TOKEN * longest:
        found = len(_ids(tokenizer, text[: CHARS_PER_TOKEN * longest]))
        if found > 2 * longest:
            raise PromptTooLong(limit=longest, found=found)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of the text alone."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def load_tokenizer(folder: Path) -> Tokenizer:
    """A folder's tokenizer, which neither cuts nor pads. Raises: ModelUnusable."""
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing narrower
        raise ModelUnusable(reason=f"tokenizer.json cannot be read: {kind_of(error)}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
