"""What can be asked of a model: one module for each task. A task is the same on every wire and for every engine.

- `task`: what a task is. Start reading there.
- `chat`, `completion`, `embedding`, `rerank`, `classification`, `entities`, `translation`, `transcription`,
  `prediction`, `speech`, `image`: the tasks.
- `each`: shared by those that answer each input by itself.
- `drawing`: shared by the tasks that answer with text: the parameters of drawing, and the engine's message.
- `structure`: the form of an answer, refused where it cannot be kept to.
- `tool_calls`: calls of tools, read out of what a chat's model writes; `calling`: the grammars that hold it to them.
- `given_template`: chat templates that come with a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick_platform.tasks.chat import Chat
from tallystick_platform.tasks.classification import Classification
from tallystick_platform.tasks.completion import Completion
from tallystick_platform.tasks.embedding import Embedding
from tallystick_platform.tasks.entities import Entities
from tallystick_platform.tasks.image import Image
from tallystick_platform.tasks.prediction import Prediction
from tallystick_platform.tasks.rerank import Rerank
from tallystick_platform.tasks.speech import Speech
from tallystick_platform.tasks.task import Gather, Task
from tallystick_platform.tasks.transcription import Transcription
from tallystick_platform.tasks.translation import Translation

CHAT, COMPLETION, EMBEDDING = Chat(), Completion(), Embedding()
TRANSCRIPTION, PREDICTION, SPEECH, IMAGE = Transcription(), Prediction(), Speech(), Image()
RERANK, CLASSIFICATION, ENTITIES, TRANSLATION = Rerank(), Classification(), Entities(), Translation()

TASKS: Mapping[str, Task[Any, Any]] = {
    task.name: task
    for task in (
        CHAT,
        COMPLETION,
        EMBEDDING,
        RERANK,
        CLASSIFICATION,
        ENTITIES,
        TRANSLATION,
        TRANSCRIPTION,
        PREDICTION,
        SPEECH,
        IMAGE,
    )
}
"""Every task that is served, by its name in records."""

__all__ = [
    "TASKS",
    "CHAT",
    "COMPLETION",
    "EMBEDDING",
    "RERANK",
    "CLASSIFICATION",
    "ENTITIES",
    "TRANSLATION",
    "TRANSCRIPTION",
    "PREDICTION",
    "SPEECH",
    "IMAGE",
    "Task",
    "Gather",
]
