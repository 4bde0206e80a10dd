"""Checks 18 and 19: whether a folder on disk is the model that answered, and whether it gives the record's answer again."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.errors import ModelDigestError, ReplayError, TallystickError
from tallystick.manifest import Manifest
from tallystick.record import BlobRef, Gpu, Output, Record, Response, State, Usage, Value
from tallystick.tasks.comparison import same_value
from tallystick.verify.file_lists import FileList, exported_files
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Exported, Gap, Step

EXPORT_TASK: Final = "export"
DOCUMENT: Final = "document"
TEXT_KINDS: Final = ("message", "text")
REPLAYED_FIELDS: Final = (
    "task", "state", "gpu", "model", "parameters", "prompt", "response", "usage", "proof_of_compute",
)  # fmt: skip
"""What a replay needs of the record, all of it shown."""
NOT_ASKED: Final = "not asked for: --replay runs the prompt again"
ANOTHER_MODEL: Final = "not run: the folder is not the model that the record names"
NO_LIST: Final = (
    "which files differ is not known: neither the folder's model.sig nor a --manifest lists the record's files"
)
MADE_FROM_IT: Final = Gap(
    "the folder says that it was derived from the model that answered, and its files are others than that model's: that it was made"
    " faithfully from it is the exporter's word so far",
    "the evidence of the export's own record, --export FILE: it names the source, and lists the files that came out; or the files that"
    " answered, which `tallystick pull --original` fetches",
)
NEEDS_BASE: Final = Gap(
    "the folder is an adapter that does not say to which base it belongs, and a registered one does: its digest covers the base's",
    "the folder of its base, --base DIR",
)
SAME_FILES: Final = "these are the very files that the record names"
EXPORTED_FILES: Final = (
    "these are the files that the export's record lists; the record names the model that they were made from"
)
DERIVED: Final = (
    "these are not the files that answered: record {} of the same log says that they were exported from those, and its parity report how"
    " they compare"
)
SHOW_IT: Final = "evidence that opens the record, or discloses these fields"
RUN_IT: Final = "a machine and a model folder that can run it"
SAME_MEANS: Final = "the engine, version, number type and processor that the record names"
OTHER_FOLDER: Final = "the folder of the model that the record names"
SHOWN_CHARACTERS: Final = 60
REPRODUCIBLE: Final = "reproducible"
STATISTICAL: Final = "statistical"
VECTOR: Final = "vector"
MAX_LOGPROB_DIFFERENCE: Final = 0.001
"""Of the natural logarithm of a token's probability, by two machines that draw the same tokens."""
LEAST_COSINE: Final = 0.999
"""Of a vector of the class statistical with the one that comes out again: other weights, or another text, give less."""


class ReplayRefused(TallystickError):
    """The record's prompt cannot be run again here: nothing is said about the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The answer that the model gives here, and what computed it."""

    outputs: tuple[Output, ...]
    usage: Usage
    engine: str
    engine_version: str
    dtype: str
    device: str
    gpu: Gpu


Replay = Callable[[Record], Replayed]
"""Runs a record's prompt with its effective parameters. Raises: ReplayRefused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A model folder to hold against a record: its files, lists that may tell which differ, and how to run it, if asked.

    `own` is the list in its own signature. `made_from` is the digest of the model that the folder says it was made from, and `exported`
    what the log says of that, in evidence that holds. `lacks_base`: it is an adapter without the file that names its base.
    """

    manifest: Manifest
    lists: tuple[FileList, ...] = ()
    own: FileList | None = None
    made_from: bytes | None = None
    exported: Exported | None = None
    lacks_base: bool = False
    replay: Replay | None = None


def check_model(tally: Tally, where: str, record: Record, shown: frozenset[str], folder: ModelFolder) -> None:
    """Checks 18 and 19 over one record of which the fields `shown` are known."""
    same = _check_digest(tally, where, record, shown, folder)
    if folder.replay is not None and same:
        _check_replay(tally, where, record, shown, folder.replay)
    else:
        _leave_replay(tally, ANOTHER_MODEL, folder)


def leave_model(tally: Tally, reason: str, folder: ModelFolder) -> None:
    """Checks 18 and 19 where the record is closed."""
    tally.block(Step.MODEL_DIGEST, Gap(reason, SHOW_IT))
    _leave_replay(tally, reason, folder)


def _leave_replay(tally: Tally, reason: str, folder: ModelFolder) -> None:
    if folder.replay is None:
        tally.skip(Step.REPLAY, NOT_ASKED)
    else:
        tally.block(Step.REPLAY, Gap(reason, SHOW_IT if reason != ANOTHER_MODEL else OTHER_FOLDER))


def _check_digest(tally: Tally, where: str, record: Record, shown: frozenset[str], folder: ModelFolder) -> bool:
    # 18 model-digest
    named = _named_files(record, shown)
    if isinstance(named, str):
        tally.block(Step.MODEL_DIGEST, Gap(named, SHOW_IT))
        return False
    expected, listed = named
    found = folder.manifest.digest
    if found == expected:
        tally.held[Step.MODEL_DIGEST] += len(folder.manifest.files)
        tally.note(Step.MODEL_DIGEST, SAME_FILES if listed is None else EXPORTED_FILES, 0)
        return True
    exported = folder.exported
    if exported is not None and (exported.source, exported.digest) == (expected, found):
        tally.held[Step.MODEL_DIGEST] += len(folder.manifest.files)
        tally.note(Step.MODEL_DIGEST, DERIVED.format(exported.index), 0)
        return False
    if folder.lacks_base:
        tally.block(Step.MODEL_DIGEST, NEEDS_BASE, 0)
        return False
    own = folder.own
    if folder.made_from == expected and (own is None or own.digest == found):
        tally.block(Step.MODEL_DIGEST, MADE_FROM_IT, 0)
        return False
    if own is not None and folder.made_from == expected:
        expected, listed = own.digest, own  # an export that was changed: it is held to the list that was signed with it
    tally.fail(ModelDigestError(f"{where}, model folder", f"digest {expected.hex()}", f"digest {found.hex()}"))
    lists = [one for one in (listed, own, *folder.lists) if one is not None]
    kept = next((one for one in lists if one.digest == expected), None)
    if kept is not None:
        _name_differences(tally, kept, folder.manifest)
        return False
    for one in lists:
        tally.note(Step.MODEL_DIGEST, f"{one.origin} lists the files of another model, {one.digest.hex()}", 0)
    tally.note(Step.MODEL_DIGEST, NO_LIST, 0)
    return False


def exported_in(record: Record, shown: frozenset[str], index: int) -> Exported | None:
    """What the record of an export says of its source and its files, as far as that is shown."""
    named = _named_files(record, shown)
    if record.task != EXPORT_TASK or isinstance(named, str) or "model" not in shown or record.model is None:
        return None
    return Exported(index=index, source=record.model.weights_digest, digest=named[0])


def _named_files(record: Record, shown: frozenset[str]) -> tuple[bytes, FileList | None] | str:
    """The digest that the folder must have, with the list of its files where the record holds one; or why it names none.

    An export's record names the model that was exported, and in its response the files that came out: those are on disk.
    """
    if record.task == EXPORT_TASK and "task" in shown:
        if "response" not in shown:
            return "whose field response is not shown"
        response = record.response
        outputs = response.outputs if isinstance(response, Response) else ()
        found = exported_files(outputs[0].content) if len(outputs) == 1 and outputs[0].kind == DOCUMENT else None
        return found or "of an export that names no files"
    if record.model is None:
        return "that names no model" if "model" in shown else "whose field model is not shown"
    return record.model.weights_digest, None


def _name_differences(tally: Tally, kept: FileList, manifest: Manifest) -> None:
    present = {entry.name: entry.sha256 for entry in manifest.files}
    for name in sorted(kept.files.keys() | present.keys()):
        if present.get(name) == kept.files.get(name):
            tally.held[Step.MODEL_DIGEST] += 1
        else:
            tally.fail(_differing(name, kept.files.get(name), present.get(name)))


def _differing(name: str, expected: bytes | None, found: bytes | None) -> ModelDigestError:
    def told(sha256: bytes | None) -> str:
        return "no such file" if sha256 is None else f"SHA-256 {sha256.hex()}"

    return ModelDigestError(f"model file {name}", told(expected), told(found))


def _check_replay(tally: Tally, where: str, record: Record, shown: frozenset[str], replay: Replay) -> None:
    # 19 replay
    answer = _recorded_answer(record, shown)
    if isinstance(answer, str):
        tally.block(Step.REPLAY, Gap(answer, SHOW_IT))
        return
    try:
        replayed = replay(record)
    except ReplayRefused as error:
        tally.block(Step.REPLAY, Gap(f"not run again: {error.reason}", RUN_IT))
        return
    difference = _difference(record, answer, replayed)
    if difference is None:
        tally.held[Step.REPLAY] += 1
        return
    other = _other_means(record, replayed)
    if other is not None:
        # The promise is made for one engine on one kind of processor: elsewhere a difference says nothing.
        text = f"which differs ({difference[1]}), but was computed by other means: {other}"
        tally.block(Step.REPLAY, Gap(text, SAME_MEANS))
        return
    tally.fail(ReplayError(where, *difference))


def _recorded_answer(record: Record, shown: frozenset[str]) -> tuple[Output, ...] | str:
    """The answer to compare with, or why there is none."""
    hidden = [name for name in REPLAYED_FIELDS if name not in shown]
    proof, response = record.proof_of_compute, record.response
    if hidden:
        return f"whose fields {', '.join(hidden)} are not shown"
    if isinstance(record.prompt, BlobRef) or isinstance(response, BlobRef):
        return "whose prompt or answer stands in a blob"
    if record.prompt is None or response is None or not response.outputs:
        return "without an answer"
    class_ = "none" if proof is None else proof.class_
    if class_ != REPRODUCIBLE and not (class_ == STATISTICAL and all(map(_is_vector, response.outputs))):
        return f"of the class {class_}: only the class reproducible promises the same answer again"
    return response.outputs


def _is_vector(output: Output) -> bool:
    return output.kind == VECTOR and isinstance(output.content, bytes)


def _text_of(output: Output) -> str | None:
    """A text, or the text of a message that holds nothing else."""
    text = output.content if output.kind in TEXT_KINDS else None
    if isinstance(text, Mapping):
        text = None if text.get("tool_calls") else text.get("content")
    return text if isinstance(text, str) else None


def _difference(record: Record, answer: tuple[Output, ...], replayed: Replayed) -> tuple[str, str] | None:
    """What was expected and found; None where the answers are the same, or the record's is the beginning of the other's."""
    cut_short = record.state is not State.COMPLETED  # then the record holds what had been delivered when it ended
    if len(answer) > len(replayed.outputs) or (not cut_short and len(answer) != len(replayed.outputs)):
        return f"{len(answer)} answers", f"{len(replayed.outputs)} answers"
    proof = record.proof_of_compute
    exactly = proof is not None and proof.class_ == REPRODUCIBLE
    for number, (one, other) in enumerate(zip(answer, replayed.outputs, strict=False)):
        expected, found = _text_of(one), _text_of(other)
        if _is_vector(one):
            differing = _vectors(number, one.content, other.content, exactly=exactly)
            if differing is not None:
                return differing
        elif expected is None or found is None:
            if not same_value([one.kind, one.content], [other.kind, other.content]):
                return f"answer {number} as recorded, a {one.kind}", f"another {other.kind}"
        elif not (found.startswith(expected) if cut_short else found == expected):
            return _texts(expected, found)
        differing = _chances(number, one.logprobs, other.logprobs)
        if differing is not None:
            return differing
    if cut_short:
        return None
    told = _told(answer, record.usage), _told(replayed.outputs, replayed.usage)
    return told if told[0] != told[1] else None


def _chances(number: int, expected: Value, found: Value) -> tuple[str, str] | None:
    """The probabilities of the tokens, as far as the record has them: close, for their last bits differ between machines."""
    pairs = zip(_logprobs_in(expected), _logprobs_in(found), strict=False)
    for at, (one, other) in enumerate(pairs):
        if abs(one - other) > MAX_LOGPROB_DIFFERENCE:
            return f"answer {number}, token {at} with the logprob {one:.6f}", f"the logprob {other:.6f}"
    return None


def _logprobs_in(logprobs: Value) -> list[float]:
    """Those of a completion, or of a chat; 0 for what has none. Source: SPEC 7, answers."""
    members = logprobs if isinstance(logprobs, Mapping) else {}
    content, listed = members.get("content"), members.get("token_logprobs")
    if isinstance(content, list | tuple):
        listed = [one.get("logprob") if isinstance(one, Mapping) else None for one in content]
    values = listed if isinstance(listed, list | tuple) else []
    return [float(one) if isinstance(one, int | float) else 0.0 for one in values]


def _vectors(number: int, expected: Value, found: Value, *, exactly: bool) -> tuple[str, str] | None:
    """Vectors are the same to the last bit, or, where that is not promised, point the same way and are as long."""
    if expected == found:
        return None
    if not isinstance(expected, bytes) or not isinstance(found, bytes) or len(expected) != len(found):
        return f"a vector as answer {number}", "a vector of another length, or none"
    cosine, times = _cosine_and_length(expected, found)
    if not exactly and cosine >= LEAST_COSINE and LEAST_COSINE <= times <= 1 / LEAST_COSINE:
        return None
    bar = "its very numbers" if exactly else f"a cosine of at least {LEAST_COSINE}, and as long"
    return f"vector {number} with {bar}", f"a vector whose cosine with it is {cosine:.7f}, {times:.7f} times as long"


def _cosine_and_length(one: bytes, other: bytes) -> tuple[float, float]:
    """The cosine between two vectors, and how many times as long the other is; zeros where one has no length.

    Requires: little-endian 32-bit floats, as many in both. Source: SPEC 1.
    """
    form = f"<{len(one) // 4}f"
    xs, ys = struct.unpack(form, one), struct.unpack(form, other)
    length, other_length = math.hypot(*xs), math.hypot(*ys)
    if not (length and other_length):
        return 0.0, 0.0
    return sum(x * y for x, y in zip(xs, ys, strict=True)) / (length * other_length), other_length / length


def _told(outputs: tuple[Output, ...], usage: Usage | None) -> str:
    told = ", ".join(f"{name} {count}" for name, count in sorted((usage or {}).items())) or "nothing counted"
    return f"finish reason {', '.join(sorted({str(one.finish_reason) for one in outputs}))}, {told}"


def _texts(expected: str, found: str) -> tuple[str, str]:
    pairs = enumerate(zip(expected, found, strict=False))
    at = next((place for place, (one, other) in pairs if one != other), min(len(expected), len(found)))
    return _excerpt(expected, at), _excerpt(found, at)


def _excerpt(text: str, at: int) -> str:
    return f"{text[at : at + SHOWN_CHARACTERS]!r} from character {at} of {len(text)}"


def _other_means(record: Record, replayed: Replayed) -> str | None:
    """How what computed here differs from what the record names; None where it does not."""
    model, gpu = record.model, record.gpu
    recorded: Mapping[str, object] = {} if model is None or gpu is None else _means(model, gpu)
    here = _means(replayed, replayed.gpu)
    differing = [
        f"{name} {recorded.get(name)} then, {here[name]} here" for name in here if recorded.get(name) != here[name]
    ]
    return "; ".join(differing) or None


def _means(computed: object, gpu: Gpu) -> dict[str, object]:
    names = ("engine", "engine_version", "dtype", "device")
    return {name: getattr(computed, name) for name in names} | {"processor": gpu.name, "processors": gpu.count}
