"""Messages to prompt text, by the model's own template, rendered as the transformers library renders it.

Source: transformers `utils/chat_template_utils.py` for the environment's options and the names that a template may use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tallystick_platform.engine.control_marks import ControlMarks, marked_names
from tallystick_platform.errors import ModelUnusable, PromptRejected

MAX_TEMPLATE_BYTES = 262_144
MAX_RENDERED_CHARS = 8 * 1_048_576
MAX_REASON_CHARS = 200


class _Refused(jinja2.TemplateError):
    """What a template says of messages that it does not take: its author's words, fit to be shown."""


class ChatTemplate:
    """A model's chat template, compiled once."""

    __slots__ = ("_compiled", "_names", "digest", "source")

    def __init__(self, source: str, special_tokens: Mapping[str, str], compiled: jinja2.Template | None = None) -> None:
        encoded = source.encode()
        if len(encoded) > MAX_TEMPLATE_BYTES:
            raise ModelUnusable(reason=f"its chat template has {len(encoded)} bytes; the bound is {MAX_TEMPLATE_BYTES}")
        try:
            self._compiled = compiled or _environment().from_string(source)
        except jinja2.TemplateError as error:
            raise ModelUnusable(reason="its chat template does not compile") from error
        self._names = dict(special_tokens)
        self.source = source
        self.digest = hashlib.sha256(encoded).digest()

    def marked(self, marks: ControlMarks) -> ChatTemplate:
        """The same template, writing marks for its control tokens. Raises: ValueError where it cannot be compiled so."""
        environment = _environment()
        try:
            compiled = environment.from_string(marks.template(environment.parse(self.source)))
        except jinja2.TemplateError as error:
            raise ValueError(f"the chat template cannot be marked: {error}") from error
        return ChatTemplate(self.source, marked_names(self._names, marks), compiled)

    def render(
        self, messages: Sequence[Mapping[str, object]], tools: Sequence[Mapping[str, object]] | None = None
    ) -> str:
        """The prompt, open for the assistant's turn, with the tools that it may call.

        Raises: PromptRejected where the template refuses the messages.
        """
        names = {"add_generation_prompt": True, "tools": list(tools) if tools else None, **self._names}
        try:
            pieces = []
            size = 0
            for piece in self._compiled.generate(messages=messages, **names):
                size += len(piece)
                if size > MAX_RENDERED_CHARS:
                    raise PromptRejected(reason=f"the rendered prompt has more than {MAX_RENDERED_CHARS} characters")
                pieces.append(piece)
        except _Refused as error:
            reason = f"the model's chat template does not take these messages: {error}"
            raise PromptRejected(reason=reason[:MAX_REASON_CHARS]) from error
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise PromptRejected(reason="the model's chat template does not take these messages") from error
        return "".join(pieces)


def load_chat_template(folder: Path) -> ChatTemplate | None:
    """The template of a model folder, None where it brings none. Raises: ModelUnusable."""
    config_path, template_path = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    try:
        config = json.loads(config_path.read_text()) if config_path.exists() else {}
        source = template_path.read_text() if template_path.exists() else config.get("chat_template")
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise ModelUnusable(reason="its chat template cannot be read") from error
    if not isinstance(source, str):
        return None
    names = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        token = config.get(name)
        if isinstance(token, dict):
            token = token.get("content")
        if isinstance(token, str):
            names[name] = token
    return ChatTemplate(source, names)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[jinja2.ext.loopcontrols],
        autoescape=False,  # text, not HTML
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(message: str) -> None:
    raise _Refused(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
