"""OpenAI's API, as its own clients spell it: one module for each address.

- `reading`: what they share of reading: what acts, what changes nothing, and what is refused by its name.
- `texts`: what they share that answer with text: how it is drawn, and how it is streamed.
- `chat`, `completions`, `embeddings`: each its request, its answer, and what of them is its own.
"""

from __future__ import annotations

from tallystick_platform.api.wire.openai.chat import CHAT
from tallystick_platform.api.wire.openai.completions import COMPLETIONS
from tallystick_platform.api.wire.openai.embeddings import EMBEDDINGS

WIRES = (CHAT, COMPLETIONS, EMBEDDINGS)

__all__ = ["WIRES", "CHAT", "COMPLETIONS", "EMBEDDINGS"]
