"""Embeddings and rerank over HTTP, each answer recorded, against the same model run straight in its library: texts a second, as a ratio.

The service runs in processes of its own, as a user starts it; the library runs in this one, over padded batches sorted by length, as
sentence-transformers does. They take turns over the same texts, so that whatever else the machine does meets both; the medians are
compared. The encoder is the packaged one, the cross-encoder has its size and random weights.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "ledger"), str(ROOT / "platform")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:3])  # of the service, too

from tallystick_platform.engine.cpu import share_cores  # noqa: E402

share_cores()
import aiohttp  # noqa: E402
import torch  # noqa: E402

from tallystick_platform.engine.model_store import packaged_file  # noqa: E402
from tallystick_platform.formats.packaged import DEMO_EMBEDDING  # noqa: E402
from tests.support.service import Service  # noqa: E402

BATCH = 32
TOGETHER = 64
WORDS = [
    "tell",
    "a",
    "long",
    "story",
    "about",
    "a",
    "miller",
    ",",
    "a",
    "debt",
    "and",
    "a",
    "stick",
    "that",
    "was",
    "split",
    "in",
    "two",
]
QUERY = "Who split the stick?"
BAR_BATCHES, BAR_SINGLES = 0.9, 0.8


def texts_of(count: int) -> list[str]:
    """Texts of 4 to 40 words."""
    return [" ".join(WORDS[(at * 7 + word) % len(WORDS)] for word in range(4 + at * 11 % 37)) for at in range(count)]


class Library:
    """A model as its library runs it."""

    def __init__(self, folder: Path, kind: str) -> None:
        import transformers

        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        self._model: Any = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """Unit vectors, in the order of the texts."""
        return self._batches([(text,) for text in texts], self._pooled)

    @torch.inference_mode()
    def cosines(self, documents: Sequence[str]) -> list[float]:
        """Of the query with each document."""
        found = torch.tensor(self.vectors([QUERY, *documents]))
        scores: list[float] = (found[1:] @ found[0]).tolist()
        return scores

    @torch.inference_mode()
    def fits(self, documents: Sequence[str]) -> list[float]:
        """A cross-encoder's scores."""
        pairs = [(QUERY, document) for document in documents]
        return self._batches(pairs, lambda batch: torch.sigmoid(self._model(**batch).logits[:, 0]))

    def _pooled(self, batch: Any) -> Any:
        mask = batch["attention_mask"][..., None]
        states = self._model(**batch).last_hidden_state
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)

    def _batches(self, rows: Sequence[tuple[str, ...]], compute: Callable[[Any], Any]) -> list[Any]:
        order = sorted(range(len(rows)), key=lambda at: -sum(map(len, rows[at])))
        found: list[Any] = [None] * len(rows)
        for begin in range(0, len(order), BATCH):
            part = order[begin : begin + BATCH]
            sides = [[rows[at][side] for at in part] for side in range(len(rows[0]))]
            for at, result in zip(
                part, compute(self._tokenizer(*sides, padding=True, return_tensors="pt")).tolist(), strict=True
            ):
                found[at] = result
        return found


class Asking:
    """The service, asked by one client with as many connections as requests at once."""

    def __init__(self, service: Service) -> None:
        self.model, self._service = service.model, service

    def embed(self, texts: Sequence[str]) -> dict[str, Any]:
        """A request for their vectors."""
        return {"input": list(texts), "encoding_format": "base64"}

    def rerank(self, documents: Sequence[str]) -> dict[str, Any]:
        """A request for their scores."""
        return {"query": QUERY, "documents": list(documents)}

    def run(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers to requests, so many of them at once."""
        return asyncio.run(self._run(path, bodies))

    async def _run(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        limit = aiohttp.ClientTimeout(total=300)
        connections = aiohttp.TCPConnector(limit=TOGETHER)
        given: dict[str, Any] = {"connector": connections, "headers": self._service.headers, "timeout": limit}
        async with aiohttp.ClientSession(self._service.base_url, **given) as client:

            async def ask(body: dict[str, Any]) -> dict[str, Any]:
                async with client.post(path, json={"model": self.model, **body}) as reply:
                    reply.raise_for_status()
                    answer: dict[str, Any] = await reply.json()
                    return answer

            return await asyncio.gather(*map(ask, bodies))


def compared(
    name: str, texts: Sequence[str], library: Callable[..., Any], service: Callable[..., Any], rounds: int, bar: float
) -> None:
    """Print how many texts a second either side does, and the ratio."""
    rates: dict[str, list[float]] = {"library": [], "service": []}
    for _ in range(rounds + 1):  # the first one warms both up
        for side, run in (("library", partial(library, texts)), ("service", service)):
            began = time.perf_counter()
            run()
            rates[side].append(len(texts) / (time.perf_counter() - began))
    medians = {side: statistics.median(found[1:]) for side, found in rates.items()}
    ratio = medians["service"] / medians["library"]
    told = {side: round(median, 1) for side, median in medians.items()}
    print(
        json.dumps({name: {**told, "ratio": round(ratio, 2), "bar": bar, "load": round(os.getloadavg()[0], 1)}}),
        flush=True,
    )


def write_cross_encoder(folder: Path) -> Path:
    """A cross-encoder of the packaged encoder's size and tokenizer, with random weights."""
    import transformers

    source = packaged_file(DEMO_EMBEDDING).parent
    config = transformers.BertConfig.from_pretrained(source)
    config.num_labels = 1
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    texts = texts_of(given.texts)
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as scratch:
        measure(DEMO_EMBEDDING, Path(scratch) / "encoder", texts, given.rounds)
        cross = write_cross_encoder(Path(scratch) / "cross")
        measure(str(cross), Path(scratch) / "fits", texts, given.rounds)


def measure(model: str, home: Path, texts: Sequence[str], rounds: int) -> None:
    """One model, asked in every way that it is for."""
    encodes = model == DEMO_EMBEDDING
    folder = packaged_file(model).parent if encodes else Path(model)
    library = Library(folder, "AutoModel" if encodes else "AutoModelForSequenceClassification")
    service = Service(home, {"TALLYSTICK_MODEL": model, "TALLYSTICK_BATCH_MAX_AGE_MS": "1000"}).start()
    try:
        asking = Asking(service)
        ways = [("/v1/embeddings", asking.embed, library.vectors), ("/v1/rerank", asking.rerank, library.cosines)]
        for path, asked, run in ways if encodes else [("/v1/rerank", asking.rerank, library.fits)]:
            name = f"{path}, {'encoder' if encodes else 'cross-encoder'}"
            whole = [asked(texts)]
            compared(f"{name}, one request", texts, run, partial(asking.run, path, whole), rounds, BAR_BATCHES)
            if run != library.cosines:
                each = [asked([text]) for text in texts]
                singly = f"{name}, {TOGETHER} single requests at once"
                compared(singly, texts, run, partial(asking.run, path, each), rounds, BAR_SINGLES)
    finally:
        service.stop()


if __name__ == "__main__":
    main()
