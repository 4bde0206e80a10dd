"""Texts in, scores or texts out, as servers of such models spell them: one module for each address.

- `usage`: shared by them: the counts of an answer.
- `rerank`: Jina's, Cohere's and TEI's shape. `classify`: TEI's and vLLM's. `entities`, `translate`: the same for those tasks.

Errors, and members that change nothing, are as OpenAI's addresses have them (`api/wire/openai/reading`).
"""

from __future__ import annotations

from tallystick_platform.api.wire.texts.classify import CLASSIFY
from tallystick_platform.api.wire.texts.entities import ENTITIES
from tallystick_platform.api.wire.texts.rerank import RERANK
from tallystick_platform.api.wire.texts.translate import TRANSLATE

WIRES = (RERANK, CLASSIFY, ENTITIES, TRANSLATE)

__all__ = ["WIRES", "RERANK", "CLASSIFY", "ENTITIES", "TRANSLATE"]
