"""Structured output against a validator of other people: 200 schemas, every completed answer validates.

    .venv/bin/python scripts/structured_output.py [--model FOLDER] [--count 200] [--max-tokens 400]

It asks the engine itself, sampled, as many side by side as it takes, and prints what came of it. Without --model a model of random weights
answers, which knows no JSON: what it writes is the form's doing alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tallystick.tasks.structure import Structure
from tallystick_platform.engine.audit import AuditEngine
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.protocol import Call, Failed, Finished, Piece
from tallystick_platform.tasks import CHAT
from tallystick_platform.tasks.drawing import Draw, encode_call
from tests.support.schemas import fault_of, schemas
from tests.support.tiny_model import write_tiny_model

SEED = 11


def asked(number: int, schema: Any, max_tokens: int) -> Call:
    """One request for an answer of this schema."""
    draw = Draw(temperature=0.8, top_p=0.95, top_k=0, max_tokens=max_tokens, stop=(), seed=SEED + number)
    turns = ({"role": "user", "content": "Answer with an example of this JSON schema:\n" + json.dumps(schema)},)
    form = Structure(kind="json_schema", source=json.dumps(schema))
    return Call(number.to_bytes(16), CHAT.name, encode_call(draw, turns=turns, structure=form))


def answers(engine: AuditEngine, calls: list[Call]) -> dict[bytes, tuple[str, Finished | Failed]]:
    """The text and the end of each."""
    said: dict[bytes, list[str]] = {}
    ends: dict[bytes, Finished | Failed] = {}
    waiting = list(calls)
    while waiting or engine.has_work():
        while waiting and engine.requests() < engine.max_requests:
            engine.submit(waiting.pop(0))
        for event in engine.step():
            if isinstance(event, Piece):
                said.setdefault(event.request_id, []).append(event.data)
            elif isinstance(event, Finished | Failed):
                ends[event.request_id] = event
    return {one.request_id: ("".join(said.get(one.request_id, [])), ends[one.request_id]) for one in calls}


def main() -> int:
    """Exits 0 where every completed answer validates."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=400)
    given = parser.parse_args()
    cases = schemas(given.count)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.model or write_tiny_model(Path(scratch) / "tiny", max_position_embeddings=4_096)
        engine = load_engine(EngineConfig(model=str(folder), models_dir=Path(scratch)), lambda *_: None)
        began = time.perf_counter()
        calls = [asked(number, schema, given.max_tokens) for number, (_, schema) in enumerate(cases)]
        found = answers(engine, calls)  # type: ignore[arg-type]  # a model that chats
        spent_s = time.perf_counter() - began
    ends: Counter[str] = Counter()
    faults = []
    for (name, schema), call in zip(cases, calls, strict=True):
        text, end = found[call.request_id]
        reason = end.kind if isinstance(end, Failed) else str(end.finish_reason)
        ends[reason] += 1
        fault = end.reason if isinstance(end, Failed) else fault_of(text, schema) if reason == "stop" else None
        if fault is not None:
            faults.append(f"{name}: {fault}: {text[:200]}")
    print(f"{len(cases)} schemas: {dict(ends)}, {len(faults)} at fault, {spent_s:.1f} s, {engine.model.id}")
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
