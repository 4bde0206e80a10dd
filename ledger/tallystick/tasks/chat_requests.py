"""The old address of `tallystick.tasks.chat`, until nobody asks for it."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.record import Value
from tallystick.tasks.chat import READER as NAME
from tallystick.tasks.chat import SYSTEM_ROLES, TEXT_PART, _texts, read, read_members
from tallystick.tasks.reading import Reading


def messages_of(reading: Reading) -> list[Mapping[str, Value]]:
    """The messages of a chat request that was read, as sent."""
    messages = (reading.prompt or {}).get("messages")
    return [message for message in messages if isinstance(message, Mapping)] if isinstance(messages, list) else []


def text_of(content: Value, where: str) -> str:
    """The text of a message."""
    return "".join(text for _, text in _texts(content, where))


__all__ = ["NAME", "SYSTEM_ROLES", "TEXT_PART", "messages_of", "read", "read_members", "text_of"]
