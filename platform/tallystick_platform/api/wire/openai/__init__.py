"""OpenAI's API, as its own clients spell it: one module for each address.

- `reading`: how every request is read: members that act, members that change nothing, members that are refused by name.
- `texts`: shared by chat and completions, which answer with text: parameters of drawing, counts, streams.
- `chat`, `responses`, `completions`, `embeddings`, `transcriptions`, `speech`, `images`, `predictions`: the request and the
  answer of each. `moderations`: refused.
"""

from __future__ import annotations

from tallystick_platform.api.wire.openai.chat import CHAT
from tallystick_platform.api.wire.openai.completions import COMPLETIONS
from tallystick_platform.api.wire.openai.embeddings import EMBEDDINGS
from tallystick_platform.api.wire.openai.images import IMAGES
from tallystick_platform.api.wire.openai.predictions import PREDICTIONS
from tallystick_platform.api.wire.openai.responses import RESPONSES
from tallystick_platform.api.wire.openai.speech import SPEECH
from tallystick_platform.api.wire.openai.transcriptions import TRANSCRIPTIONS

WIRES = (CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, TRANSCRIPTIONS, SPEECH, IMAGES, PREDICTIONS)

__all__ = [
    "WIRES",
    "CHAT",
    "RESPONSES",
    "COMPLETIONS",
    "EMBEDDINGS",
    "TRANSCRIPTIONS",
    "SPEECH",
    "IMAGES",
    "PREDICTIONS",
]
