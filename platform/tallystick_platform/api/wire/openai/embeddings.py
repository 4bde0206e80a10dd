"""`POST /v1/embeddings`. Vectors are never streamed: all of them leave with the record."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tallystick.tasks import embedding, neutral
from tallystick_platform import tasks
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, Truncated, outputs_of
from tallystick_platform.exchange.line import Recorded

MAX_DIMENSIONS = 65_536
MAX_PROMPT_NAME_CHARS = 256

Encoding = Annotated[
    Literal["float", "base64"], Meta(description="float if absent. base64 is of little-endian 32-bit floats.")
]


class EmbeddingBody(Body, frozen=True, kw_only=True):
    """An embedding request.

    Of other parameters of the same API, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    input: Annotated[
        str | Annotated[list[str | int | list[int | str]], Meta(min_length=1)],
        Meta(
            description="A text or the ids of its tokens, or up to 2,048 of one of them, or of pairs: an instruction and a text."
        ),
    ]
    encoding_format: Encoding | None = None
    dimensions: (
        Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS, description="So many of the first numbers of each vector.")] | None
    ) = None
    truncate_prompt_tokens: Truncated | None = None
    prompt_name: (
        Annotated[
            str,
            Meta(
                max_length=MAX_PROMPT_NAME_CHARS,
                description="One of the model's own prompts, to be put before each text.",
            ),
        ]
        | None
    ) = None


class Embedding(Struct, frozen=True, kw_only=True, tag_field="object", tag="embedding"):
    """The vector of one input, which has its place in the list."""

    index: int
    embedding: list[float] | str


class EmbeddingUsage(Struct, frozen=True, kw_only=True):
    """The tokens of all inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Struct, frozen=True, kw_only=True, tag_field="object", tag="list"):
    """An answer to an embedding request."""

    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    tallystick: Proof


def _whole(body: EmbeddingBody, recorded: Recorded, tallystick: Proof) -> EmbeddingList:
    vectors = [msgspec.convert(output.content, bytes) for output in outputs_of(recorded)]
    write = _base64 if body.encoding_format == "base64" else floats_of
    count = (recorded.record.usage or {}).get("input_tokens", 0)
    return EmbeddingList(
        data=[Embedding(index=index, embedding=write(vector)) for index, vector in enumerate(vectors)],
        model=body.model,
        usage=EmbeddingUsage(prompt_tokens=count, total_tokens=count),
        tallystick=tallystick,
    )


def _base64(vector: bytes) -> str:
    """Exactly the recorded bytes."""
    return b64encode(vector).decode()


def floats_of(vector: bytes) -> list[float]:
    """The recorded numbers; each is written with so many digits that its 32 bits can be had from it again."""
    return list(struct.unpack(f"<{len(vector) // embedding.FLOAT_BYTES}f", vector))


EMBEDDINGS = OpenAiAddress(
    name="embeddings",
    routes=("/v1/embeddings",),
    summary="Have texts turned into vectors",
    task=tasks.EMBEDDING,
    reader=embedding.READER,
    subject="input",
    body=EmbeddingBody,
    neutral=neutral.EMBEDDING,
    read_members=embedding.read_members,
    answers=EmbeddingList,
    whole=_whole,
)
