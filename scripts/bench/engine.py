"""Tokens per second straight on the engine at 1, 8 and 32 streams, how long short prompts wait beside a long one, and sentences per second.

No server, no ledger: one engine in this process, the packaged models. What they are compared with runs the same prompts in the same run,
because figures of two machines cannot be compared: the engine with one row in each pass, and the transformers library's static batch.
A run is worth as much as the machine is quiet: look at the load, and where others compute too, at the tokens for one second of a core's
own time.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

import harness  # noqa: F401  (it says where the packages lie)

from tallystick_platform.engine.cpu import share_cores

share_cores()
import torch  # noqa: E402

from tallystick_platform.engine.audit import AuditEngine  # noqa: E402
from tallystick_platform.engine.encoder import Encoder  # noqa: E402
from tallystick_platform.engine.loading import EngineConfig, load_engine  # noqa: E402
from tallystick_platform.engine.model_store import packaged_file  # noqa: E402
from tallystick_platform.engine.oneshot import OneShotEngine  # noqa: E402
from tallystick_platform.engine.scheduler import SchedulerConfig  # noqa: E402
from tallystick_platform.formats.packaged import DEMO, DEMO_EMBEDDING  # noqa: E402
from tallystick_platform.protocol import Call, Failed, Finished, Piece  # noqa: E402
from tests.support.real_model import models_dir, real_model  # noqa: E402
from tests.support.tiny_model import embedding, request  # noqa: E402

STREAMS = (1, 8, 32)
QUESTION = "Tell a long story about a miller, a debt and a stick that was split in two."
LONG_WORDS, SHORT_PROMPTS = 2_960, 10  # about 3,000 tokens with the template
SENTENCES = 256


def asked(number: int, text: str, max_tokens: int) -> Call:
    """A seeded chat."""
    return request(number, text, temperature=1.0, max_tokens=max_tokens, seed=number)


def throughput(engine: AuditEngine, streams: int, max_tokens: int) -> dict[str, float]:
    """All at once, to their ends."""
    for number in range(streams):
        engine.submit(asked(number, QUESTION, max_tokens))
    began, used, tokens, steps, first_s = time.perf_counter(), time.process_time(), 0, 0, 0.0
    while engine.has_work():
        events = engine.step()
        steps += 1
        assert not any(isinstance(event, Failed) for event in events)
        tokens += sum(event.usage["output_tokens"] for event in events if isinstance(event, Finished))
        if not first_s and any(isinstance(event, Piece) for event in events):
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
    long, shorts = asked(99, "word " * LONG_WORDS, 2), range(SHORT_PROMPTS)
    engine.submit(long)
    engine.step()
    for number in shorts:
        engine.submit(asked(number, QUESTION, max_tokens))
    began, step, waits, size, longest, ends = time.perf_counter(), 0, {}, 0, 0.0, 0.0
    while engine.has_work():
        before = time.perf_counter()
        events = engine.step()
        step += 1
        longest = max(longest, time.perf_counter() - before)
        for event in events:
            if isinstance(event, Piece) and event.request_id not in waits:
                waits[event.request_id] = (step, time.perf_counter() - began)
            if isinstance(event, Finished) and event.request_id == long.request_id:
                size, ends = event.usage["input_tokens"], time.perf_counter() - began
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
    turns = [{"role": "user", "content": QUESTION}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
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


def sentences(count: int) -> tuple[str, ...]:
    """Texts of 4 to 40 words."""
    words = QUESTION.split()
    return tuple(
        " ".join(words[(at * 7 + word) % len(words)] for word in range(4 + at * 11 % 37)) for at in range(count)
    )


def vectors(engine: OneShotEngine, texts: tuple[str, ...]) -> dict[str, float]:
    """All in one request, to its end."""
    engine.submit(embedding(1, texts, engine.model.dimensions or 0))
    began, used, longest = time.perf_counter(), time.process_time(), 0.0
    while engine.has_work():
        before = time.perf_counter()
        assert not any(isinstance(event, Failed) for event in engine.step())
        longest = max(longest, time.perf_counter() - before)
    return {
        "sentences_s": round(len(texts) / (time.perf_counter() - began), 1),
        "sentences_per_core_s": round(len(texts) / (time.process_time() - used), 1),
        "longest_step_s": round(longest, 3),
    }


def library_vectors(texts: tuple[str, ...]) -> dict[str, float]:
    """The transformers library over padded batches of 32, sorted by length."""
    from transformers import AutoModel, AutoTokenizer

    folder = packaged_file(DEMO_EMBEDDING).parent
    model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    ordered = sorted(texts, key=len)
    began, used = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        for at in range(0, len(ordered), 32):
            batch = tokenizer(ordered[at : at + 32], padding=True, return_tensors="pt")
            mask = batch["attention_mask"][..., None]
            torch.nn.functional.normalize((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1), dim=1)
    return {
        "sentences_s": round(len(texts) / (time.perf_counter() - began), 1),
        "sentences_per_core_s": round(len(texts) / (time.process_time() - used), 1),
    }


def load(model: str, scheduler: SchedulerConfig | None = None) -> AuditEngine | OneShotEngine:
    """An engine with a packaged model, and a line about it."""
    began = time.perf_counter()
    engine = load_engine(EngineConfig(model=model, models_dir=models_dir(), scheduler=scheduler), lambda *_: None)
    facts = {"active": engine.max_active, "rows": engine.rows, "load": os.getloadavg()[0]}
    told(model, {"loaded_s": round(time.perf_counter() - began, 2), **facts})
    return engine


def told(name: str, found: object) -> None:
    """One line."""
    print(json.dumps({name: found}), flush=True)


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--sentences", type=int, default=SENTENCES)
    parser.add_argument("--active", type=int, default=0, help="requests computed side by side; 0: as a worker chooses")
    parser.add_argument("--library", action="store_true", help="also the transformers library's static batch")
    given = parser.parse_args()
    engine = load(DEMO, SchedulerConfig(max_active=given.active, max_waiting=64) if given.active else None)
    assert isinstance(engine, AuditEngine)
    throughput(engine, 1, 4)
    together = engine.rows
    for rows, name in ((together, "rows together"), (1, "one row in a pass")):
        engine.rows = rows
        for streams in STREAMS:
            told(name, throughput(engine, streams, given.tokens))
    engine.rows = together
    told("beside a long prompt", beside(engine, given.tokens))
    if given.library:
        for kind in ("float32", "bfloat16"):
            found = {streams: round(library(streams, given.tokens, getattr(torch, kind)), 1) for streams in STREAMS}
            told(f"transformers, static batch, {kind}", found)
    encoder, texts = load(DEMO_EMBEDDING), sentences(given.sentences)
    assert isinstance(encoder, OneShotEngine)
    vectors(encoder, texts[:8])
    told("one length together", vectors(encoder, texts))
    assert isinstance(encoder._kind, Encoder)
    encoder._kind.states.independent = False
    told("one sentence in a pass", vectors(encoder, texts))
    if given.library:
        told("transformers, padded batches", library_vectors(texts))


if __name__ == "__main__":
    main()
