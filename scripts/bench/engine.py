"""Tokens per second straight on the engine at 1, 8 and 32 streams, and how long short prompts wait beside a long one.

No server, no ledger: one engine in this process, the packaged model. The transformers library's static batch runs the same prompts
on the same machine, because figures of two machines cannot be compared. A run is worth as much as the machine is quiet: look at the
load, and where others compute too, at the tokens for one second of a core's own time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "ledger"), str(ROOT / "platform")]

from tallystick_platform.engine.cpu import share_cores  # noqa: E402

share_cores()
import torch  # noqa: E402

from tallystick_platform.engine.audit import AuditEngine  # noqa: E402
from tallystick_platform.engine.loading import EngineConfig, load_engine  # noqa: E402
from tallystick_platform.engine.scheduler import SchedulerConfig  # noqa: E402
from tallystick_platform.protocol import Failed, Finished, GenerationRequest, TextDelta  # noqa: E402
from tests.support.real_model import models_dir, real_model  # noqa: E402

STREAMS = (1, 8, 32)
QUESTION = "Tell a long story about a miller, a debt and a stick that was split in two."
LONG_WORDS, SHORT_PROMPTS = 2_960, 10  # about 3,000 tokens with the template


def request(number: int, text: str, max_tokens: int) -> GenerationRequest:
    """A seeded request."""
    return GenerationRequest(
        request_id=number.to_bytes(16),
        model="demo",
        messages=({"role": "user", "content": text},),
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_tokens=max_tokens,
        stop=(),
        seed=number,
        deadline_us=0,
    )


def throughput(engine: AuditEngine, streams: int, max_tokens: int) -> dict[str, float]:
    """All at once, to their ends."""
    for number in range(streams):
        engine.submit(request(number, QUESTION, max_tokens))
    began, used, tokens, steps, first_s = time.perf_counter(), time.process_time(), 0, 0, 0.0
    while engine.has_work():
        events = engine.step()
        steps += 1
        assert not any(isinstance(event, Failed) for event in events)
        tokens += sum(event.output_tokens for event in events if isinstance(event, Finished))
        if not first_s and any(isinstance(event, TextDelta) for event in events):
            first_s = time.perf_counter() - began
    return {
        "streams": streams,
        "tokens_s": round(tokens / (time.perf_counter() - began), 1),
        "tokens_per_core_s": round(tokens / (time.process_time() - used), 1),
        "steps": steps,
        "first_token_s": round(first_s, 2),
    }


def beside(engine: AuditEngine, max_tokens: int) -> dict[str, object]:
    """Ten short prompts that come one step after a long one: steps and seconds until each one's first token."""
    long, shorts = request(99, "word " * LONG_WORDS, 2), range(SHORT_PROMPTS)
    engine.submit(long)
    engine.step()
    for number in shorts:
        engine.submit(request(number, QUESTION, max_tokens))
    began, step, waits, size, longest, ends = time.perf_counter(), 0, {}, 0, 0.0, 0.0
    while engine.has_work():
        before = time.perf_counter()
        events = engine.step()
        step += 1
        longest = max(longest, time.perf_counter() - before)
        for event in events:
            if isinstance(event, TextDelta) and event.request_id not in waits:
                waits[event.request_id] = (step, time.perf_counter() - began)
            if isinstance(event, Finished) and event.request_id == long.request_id:
                size, ends = event.input_tokens, time.perf_counter() - began
    told = [waits[number.to_bytes(16)] for number in shorts]
    return {
        "long_tokens": size,
        "long_answered_s": round(ends, 2),
        "steps_to_first_text": [steps for steps, _ in told],
        "seconds_to_first_text": [round(seconds, 2) for _, seconds in told],
        "longest_step_s": round(longest, 2),
    }


def library(streams: int, max_tokens: int, dtype: torch.dtype) -> float:
    """The transformers library's static batch over the same prompts."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = real_model()
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": QUESTION}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
    prompts = torch.tensor([list(ids)] * streams)
    model.eval()
    began = time.perf_counter()
    with torch.inference_mode():
        model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            max_new_tokens=max_tokens,
            min_new_tokens=max_tokens,
            pad_token_id=0,
        )
    return streams * max_tokens / (time.perf_counter() - began)


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--active", type=int, default=0, help="requests computed side by side; 0: as a worker chooses")
    parser.add_argument("--library", action="store_true", help="also the transformers library's static batch")
    given = parser.parse_args()
    began = time.perf_counter()
    scheduler = SchedulerConfig(max_active=given.active, max_waiting=64) if given.active else None
    engine = load_engine(EngineConfig(model="demo", models_dir=models_dir(), scheduler=scheduler), lambda *_: None)
    loaded = {
        "loaded_s": round(time.perf_counter() - began, 2),
        "active": engine.max_active,
        "rows": engine.rows,
        "load": os.getloadavg()[0],
    }
    print(json.dumps(loaded), flush=True)
    throughput(engine, 1, 4)
    for streams in STREAMS:
        print(json.dumps(throughput(engine, streams, given.tokens)), flush=True)
    print(json.dumps(beside(engine, given.tokens)), flush=True)
    if given.library:
        for name in ("float32", "bfloat16"):
            found = {streams: round(library(streams, given.tokens, getattr(torch, name))) for streams in STREAMS}
            print(json.dumps({f"transformers, static batch, {name}": found}), flush=True)


if __name__ == "__main__":
    main()
