"""A record's prompt run again, for `replay`.

The engine is the one that the record names, in the record's arithmetic. Whatever this machine cannot do as the record says is refused
by name: an answer that was computed otherwise would prove nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from tallystick.errors import RequestError
from tallystick.record import Gpu, Record, Value
from tallystick.tasks.chat_answers import ROLE as ANSWERING
from tallystick.tasks.chat_neutral import MESSAGE, PARAMETERS, PART, acting
from tallystick.tasks.chat_requests import SYSTEM_ROLES, TEXT_PART, text_of
from tallystick.verify import Replayed, ReplayRefused
from tallystick_platform.engine import audit, causal
from tallystick_platform.engine.interface import Engine
from tallystick_platform.engine.loading import Device, Dtype, EngineConfig, load_engine
from tallystick_platform.engine.scheduler import SchedulerConfig
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.protocol import Failed, Finished, GenerationRequest, TextDelta, VersionConfig, as_drawn

TASK = "chat"
ENGINES = (audit.ENGINE_NAME, causal.ENGINE_NAME)
"""The engines that can give the same answer again, as records name them; the model's files decide which of them it is."""
MAX_BASE_FILE_BYTES = 65_536
SAMPLING = {"temperature": float, "top_p": float, "top_k": int, "max_tokens": int, "seed": int}


def rerun(folder: Path, record: Record, base: Path | None = None) -> Replayed:
    """Load the model in the folder as the record says, and run the record's prompt. `base` is the folder that an adapter belongs to.

    Raises: ReplayRefused.
    """
    request = request_of(record)
    with tempfile.TemporaryDirectory(prefix="tallystick-replay-") as scratch:
        engine = _load(folder, record, base, Path(scratch))
        text, end = _run(engine, request)
    model, gpu = engine.model, engine.gpu
    return Replayed(
        text=text,
        finish_reason=end.finish_reason,
        usage={"input_tokens": end.input_tokens, "output_tokens": end.output_tokens},
        engine=model.engine,
        engine_version=model.engine_version,
        dtype=model.dtype,
        device=model.device,
        gpu=Gpu(
            kind=gpu.kind,
            name=gpu.name,
            uuid=gpu.uuid,
            count=gpu.count,
            memory_bytes=gpu.memory_bytes,
            driver=gpu.driver,
        ),
    )


def request_of(record: Record) -> GenerationRequest:
    """The request as the engine had it. Raises: ReplayRefused for whatever of it this release cannot give the engine again."""
    if record.task != TASK:
        raise ReplayRefused(f"the task is {record.task}, and this release runs {TASK} again")
    parameters = record.parameters
    unknown = acting(parameters, PARAMETERS, (*SAMPLING, "stop"))
    if unknown is not None:
        raise ReplayRefused(f"this release does not know the parameter {unknown!r:.60}, or this value of it")
    sampling = {name: _number(parameters.get(name), name, kind) for name, kind in SAMPLING.items()}
    stop = parameters.get("stop", ())
    if not isinstance(stop, Sequence) or not all(isinstance(text, str) for text in stop):
        raise ReplayRefused("the record does not say the parameter stop")
    temperature, top_p, top_k = as_drawn(sampling["temperature"], sampling["top_p"], int(sampling["top_k"]))
    return GenerationRequest(
        request_id=bytes(record.id),
        model="" if record.model is None else record.model.id,
        messages=_messages(record),
        stop=tuple(str(text) for text in stop),
        deadline_us=0,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        max_tokens=int(sampling["max_tokens"]),
        seed=int(sampling["seed"]),
    )


def _number(value: Value, name: str, kind: type) -> float | int:
    """A parameter as the engine takes it: a record holds it as it was asked for, and 1 and 1.0 ask for the same."""
    if type(value) is int:
        return float(value) if kind is float else value
    if type(value) is float and (kind is float or value.is_integer()):
        return value if kind is float else int(value)
    raise ReplayRefused(f"the record does not say the parameter {name}")


def _messages(record: Record) -> list[Mapping[str, object]]:
    prompt = record.prompt if isinstance(record.prompt, Mapping) else {}
    unknown = acting(prompt, PARAMETERS, ("messages",))
    if unknown is not None:
        raise ReplayRefused(f"this release does not know what the prompt's {unknown!r:.60} does")
    messages = prompt.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        raise ReplayRefused("the record's prompt holds no messages")
    return [_turn(message) for message in messages]


def _turn(message: Value) -> Mapping[str, object]:
    """A message as the model saw it: the record keeps it as it was sent."""
    if not isinstance(message, Mapping) or acting(message, MESSAGE, ("role", "content")) is not None:
        raise ReplayRefused("a message of the record holds something else than role and content")
    role, content = message.get("role"), message.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        content = list(content)
        if not all(_is_text(part) for part in content):
            raise ReplayRefused("a message of the record holds something else than text")
    if not isinstance(role, str) or (content is None and role != ANSWERING):
        raise ReplayRefused("a message of the record holds no role, or no text")
    try:
        return {"role": "system" if role in SYSTEM_ROLES else role, "content": text_of(content, "content")}
    except RequestError as error:
        raise ReplayRefused("a message of the record holds something else than text") from error


def _is_text(part: Value) -> bool:
    return isinstance(part, Mapping) and part.get("type") == TEXT_PART and acting(part, PART, ("type", "text")) is None


def _load(folder: Path, record: Record, base: Path | None, scratch: Path) -> Engine:
    model = record.model
    if model is None or model.engine not in ENGINES:
        found = "not named" if model is None else model.engine
        raise ReplayRefused(f"the engine was {found}, and here are {' and '.join(ENGINES)}")
    dtype, device = model.dtype, model.device
    if dtype not in get_args(Dtype) or device not in get_args(Device):
        raise ReplayRefused(f"{dtype} on {device} is nothing that this engine computes in")
    adapter = (folder / causal.ADAPTER_CONFIG).is_file()
    if adapter and base is None:
        raise ReplayRefused("the folder is an adapter: --base DIR names the folder of the model that it belongs to")
    config = EngineConfig(
        model=model.id,
        models_dir=scratch,
        version=VersionConfig(  # its digest is checked once more, beside the loading: the files may have changed since
            model_id=model.id,
            version=model.version,
            folder=str(folder.resolve()),
            digest=model.weights_digest.hex(),
            task=TASK,
            base_folder=str(base.resolve()) if adapter and base is not None else None,
            base_digest=_base_digest(folder) if adapter else None,
        ),
        dtype=dtype,  # type: ignore[arg-type]  # one of them, as checked
        device=device,  # type: ignore[arg-type]
        scheduler=SchedulerConfig(max_active=1, max_waiting=1),
    )
    try:
        return load_engine(config, _quiet)
    except ModelUnusable as error:
        raise ReplayRefused(error.reason) from error


def _base_digest(adapter: Path) -> str:
    """The digest of the base, as the adapter's own files name it: they are covered by the adapter's digest."""
    path = adapter / causal.BASE_FILE
    try:
        if path.stat().st_size > MAX_BASE_FILE_BYTES:
            raise ReplayRefused(f"{path.name} is larger than {MAX_BASE_FILE_BYTES} bytes")
        return str(json.loads(path.read_text())["base_digest"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise ReplayRefused(f"the adapter's files do not name its base: {path.name} cannot be read") from error


def _quiet(stage: str, fraction: float) -> None:
    del stage, fraction  # the command that waits shows nothing


def _run(engine: Engine, request: GenerationRequest) -> tuple[str, Finished]:
    engine.submit(request)
    pieces: list[str] = []
    while engine.has_work():
        for event in engine.step():
            if isinstance(event, TextDelta):
                pieces.append(event.text)
            elif isinstance(event, Finished):
                return "".join(pieces), event
            elif isinstance(event, Failed):
                raise ReplayRefused(f"{event.kind}: {event.reason}")
    raise ReplayRefused("the engine ended without an answer")
