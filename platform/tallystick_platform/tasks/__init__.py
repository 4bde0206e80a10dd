"""What can be asked of a model: one module for each task. A task is the same on every wire and for every engine.

- `task`: what a task is. Start reading there.
- `chat`, `completion`, `embedding`: the tasks.
- `drawing`: shared by the tasks that answer with text: the parameters of drawing, and the engine's message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick_platform.tasks.chat import Chat
from tallystick_platform.tasks.completion import Completion
from tallystick_platform.tasks.embedding import Embedding
from tallystick_platform.tasks.task import Gather, Task

CHAT, COMPLETION, EMBEDDING = Chat(), Completion(), Embedding()

TASKS: Mapping[str, Task[Any, Any]] = {task.name: task for task in (CHAT, COMPLETION, EMBEDDING)}
"""Every task that is served, by its name in records."""

__all__ = ["TASKS", "CHAT", "COMPLETION", "EMBEDDING", "Task", "Gather"]
