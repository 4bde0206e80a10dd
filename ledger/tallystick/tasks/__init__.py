"""What a request asks and what an answer says: pure functions, shared by the service and its auditors.

The service fills a record's prompt, system instructions and parameters with what `read` gives for the request that it received. An
auditor calls the same function on the request in the record and compares. So a record cannot say that something else was asked. The part
of a prompt that a model is given follows one rule for each task, for the service and for a replay alike.

- `chat`, `completion`, `embedding`, `rerank`, `classification`, `entities`, `translation`, `transcription`, `speech`, `image`,
  `prediction`, `exports`, `jobs`: one module for each task: its reader, named `task/wire/version`, what a model is given, and the outputs
  of an answer.
- `reading`: what a reader gives, and how it takes requests apart. `forms`: requests that are forms with files.
- `answers`: what a client received, and how the pieces of a stream are joined. `media`: answers that are sounds or pictures.
- `tools`: what a chat's model may call. `chat_anthropic`, `chat_responses`: chats in the words of other wires, read as the same chat.
- `hosted`, `gateway`, `inferencia`: other wires of the same tasks. `structure`: the form that an answer must have.
- `neutral`: what clients send that changes nothing, so that services take it and a replay runs without it.
- `comparison`: where a record and a reading of its request disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from tallystick.errors import AnswerError, RequestError
from tallystick.record import Output
from tallystick.tasks import (
    chat,
    chat_anthropic,
    chat_responses,
    classification,
    completion,
    embedding,
    entities,
    exports,
    gateway,
    hosted,
    image,
    inferencia,
    jobs,
    prediction,
    rerank,
    speech,
    transcription,
    translation,
)
from tallystick.tasks.answers import Received, fault_in, joined, object_at
from tallystick.tasks.chat import chat_output
from tallystick.tasks.comparison import Disagreement, disagreements
from tallystick.tasks.media import media_outputs
from tallystick.tasks.reading import Reading

Reader: TypeAlias = Callable[[str, str, "str | None", bytes], Reading]

READERS: Final[Mapping[str, Reader]] = {
    chat.READER: chat.read,
    chat_anthropic.READER: chat_anthropic.read,
    chat_responses.READER: chat_responses.read,
    completion.READER: completion.read,
    embedding.READER: embedding.read,
    rerank.READER: rerank.read,
    classification.READER: classification.read,
    entities.READER: entities.read,
    translation.READER: translation.read,
    transcription.READER: transcription.read,
    speech.READER: speech.read,
    image.READER: image.read,
    prediction.READER: prediction.read,
    hosted.COMPLETION_READER: hosted.read,
    hosted.EMBEDDING_READER: hosted.read_embedding,
    inferencia.READER: inferencia.read,
    **{way.reader: way.read for way in gateway.WAYS},
    jobs.REMOTE_READER: jobs.read_remote,
    jobs.JOB_READER: jobs.read_job,
    jobs.BATCH_READER: jobs.read_batch,
    exports.EXPORT_READER: exports.read_export,
    exports.DOWNLOAD_READER: exports.read_download,
    exports.FILES_READER: exports.read_files,
}

_POSTED: Final[Mapping[str, Reader]] = {
    chat.TARGET: chat.read,
    completion.TARGET: completion.read,
    embedding.TARGET: embedding.read,
    rerank.TARGET: rerank.read,
    classification.TARGET: classification.read,
    translation.TARGET: translation.read,
    prediction.TARGET: prediction.read,
}

COMPLETION_OBJECT: Final = "text_completion"
EMBEDDING_OBJECT: Final = "embedding"
_BY_OBJECT: Final[Mapping[str, Callable[[Mapping[str, object]], list[Output]]]] = {
    COMPLETION_OBJECT: completion.outputs_received,
    chat_responses.OBJECT: chat_responses.outputs_received,
    rerank.OBJECT: rerank.outputs_received,
    classification.OBJECT: classification.outputs_received,
    entities.OBJECT: entities.outputs_received,
    translation.OBJECT: translation.outputs_received,
    transcription.OBJECT: transcription.outputs_received,
    image.OBJECT: image.outputs_received,
    prediction.OBJECT: prediction.outputs_received,
}
"""How answers that are sent whole are read, by their member `object`."""
_BY_TYPE: Final[Mapping[str, Callable[[str], list[Output]]]] = {
    "text/plain": transcription.text_received,
    "application/x-subrip": transcription.srt_received,
    "text/vtt": transcription.vtt_received,
}
"""How answers that are no JSON are read, by their content type."""
_MEDIA: Final = ("audio/", "image/")


def read(reader: str, method: str, target: str, content_type: str | None, body: bytes) -> Reading:
    """What a request asks, as the named reader reads it.

    Requires: `target` is path and query as received; `body` has its content coding removed.
    Raises: RequestError if there is no such reader, or it cannot read this request.
    Source: SPEC 7.
    """
    function = READERS.get(reader)
    if function is None:
        raise RequestError("reader", f"{reader!a:.80} is unknown to this release, which has {', '.join(READERS)}")
    return function(method, target, content_type, body)


def usual_target(body: bytes) -> str:
    """Where a client sends such a body: the address of the first task that can read it, and else a chat's."""
    for target, reader in _POSTED.items():
        with suppress(RequestError):
            reader("POST", target, None, body)
            return target
    return chat.TARGET


def holds_outcome(document: Mapping[str, object]) -> bool:
    """Whether an answer, or an event of a stream, is one of a task whose outcome `received_answer` or `received_stream` knows."""
    return (
        "choices" in document
        or _own_reader(document) is not None
        or document.get("type") in (chat_anthropic.MESSAGE, *chat_anthropic.EVENTS)
        or str(document.get("type")).startswith(chat_responses.EVENTS)
        or "outputs" in document
        or document.get("object") in tuple(_BY_OBJECT)
        or isinstance(document.get("error"), dict)
        or _holds_embeddings(document)
    )


def received_answer(document: object) -> Received:
    """The outcome in an answer that was sent whole. Its member `object` tells the task, which is chat where it says nothing.

    Raises: AnswerError if it is no such answer.
    Source: SPEC 7.
    """
    answer = object_at(document, "body")
    error = fault_in(answer)
    return Received(outputs=() if error is not None else tuple(_outputs(answer)), error=error, whole=True)


def received_body(content_type: str, body: bytes) -> Received:
    """The outcome in an answer that is no JSON: its content type tells what it is.

    Raises: AnswerError if it is no such answer.
    Source: SPEC 7.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith(_MEDIA):
        return Received(outputs=media_outputs(kind, [body]), error=None, whole=True)
    if kind not in _BY_TYPE:
        raise AnswerError("content_type", f"is {kind!a:.60}, of which nothing is known here")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise AnswerError("body", "is not UTF-8") from error
    return Received(outputs=tuple(_BY_TYPE[kind](text)), error=None, whole=True)


def received_stream(events: Sequence[object]) -> Received:
    """The outcome in the events of a stream, without its closing `[DONE]`: the pieces joined.

    Raises: AnswerError if they are no events of such a stream.
    Source: SPEC 7.
    """
    kinds = [str(event.get("type")) for event in events if isinstance(event, dict)]
    if any(kind in chat_anthropic.EVENTS for kind in kinds):
        return chat_anthropic.stream_received(events)
    if any(kind.startswith(chat_responses.EVENTS) for kind in kinds):
        return chat_responses.stream_received(events)
    if any(isinstance(event, dict) and "outputs" in event for event in events):
        return hosted.received_events(events)
    completes = any(isinstance(event, dict) and event.get("object") == COMPLETION_OBJECT for event in events)
    return joined(events, completion.JoinedCompletion if completes else chat.JoinedChat)


def _outputs(answer: Mapping[str, object]) -> list[Output]:
    named = answer.get("object")
    if answer.get("type") == chat_anthropic.MESSAGE:
        return chat_anthropic.outputs_received(answer)
    if isinstance(named, str) and named in _BY_OBJECT:
        return _BY_OBJECT[named](answer)
    if "outputs" in answer:
        return hosted.outputs_received(answer)
    if (own := _own_reader(answer)) is not None:
        return own(answer)
    if _holds_embeddings(answer):
        return embedding.outputs_received(answer)
    return chat.outputs_received(answer)


def _own_reader(answer: Mapping[str, object]) -> Callable[[Mapping[str, object]], list[Output]] | None:
    """What reads an answer that has no `object`, and is told by a member that only answers of its address have."""
    if not answer.keys().isdisjoint(("object", "choices", "type")):
        return None
    if inferencia.NAMED in answer:
        return inferencia.outputs_received
    return next((read for name, read in gateway.RECEIVED.items() if name in answer), None)


def _holds_embeddings(answer: Mapping[str, object]) -> bool:
    data = answer.get("data")
    if answer.get("object") != "list" or not isinstance(data, list):
        return False
    return any(isinstance(one, dict) and one.get("object") == EMBEDDING_OBJECT for one in data)


__all__ = [
    "READERS",
    "read",
    "Reader",
    "Reading",
    "Disagreement",
    "disagreements",
    "Received",
    "chat_output",
    "holds_outcome",
    "received_answer",
    "received_body",
    "received_stream",
    "usual_target",
]
