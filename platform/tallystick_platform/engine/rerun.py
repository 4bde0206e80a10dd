"""A record's prompt run again, for `replay`.

The engine is the one that the record names, in the record's arithmetic. Whatever this machine cannot do as the record says is refused
by name: an answer that was computed otherwise would prove nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from tallystick.errors import RequestError
from tallystick.record import BlobRef, Record
from tallystick.tasks import read
from tallystick.tasks.chat import TEMPLATE
from tallystick.tasks.comparison import same_value
from tallystick.verify.model_checks import Replayed, ReplayRefused
from tallystick_platform.engine import audit, causal, classical, encoder, painter, seq2seq, speaker, transcriber
from tallystick_platform.engine.interface import Engine
from tallystick_platform.engine.loading import Device, Dtype, EngineConfig, load_engine
from tallystick_platform.engine.scheduler import SchedulerConfig
from tallystick_platform.errors import ModelUnusable, ParameterOutOfRange
from tallystick_platform.protocol import Call, Failed, Finished, Piece, VersionConfig
from tallystick_platform.tasks import TASKS, Gather, Task

ENGINES = tuple(
    kind.ENGINE_NAME for kind in (audit, causal, classical, encoder, painter, seq2seq, speaker, transcriber)
)
"""The engines that can give the same answer again, as records name them; the model's files decide which of them it is."""
MAX_BASE_FILE_BYTES = 65_536


def rerun(folder: Path, record: Record, base: Path | None = None) -> Replayed:
    """Load the model in the folder as the record says, and run the record's prompt. `base` is the folder that an adapter belongs to.

    Raises: ReplayRefused.
    """
    task, given, used = asked_of(record)
    with tempfile.TemporaryDirectory(prefix="tallystick-replay-") as scratch:
        engine = _load(folder, record, base, Path(scratch))
        try:
            given = task.fitted(given, used, engine.model)
        except ParameterOutOfRange as error:
            raise ReplayRefused(str(error)) from error
        gathered = task.gather(given, used)
        gathered.begin(record.id)
        end = _run(engine, Call(bytes(record.id), record.task, task.call(given, used)), gathered)
    model = engine.model
    return Replayed(
        outputs=gathered.outputs(end.finish_reasons),
        usage=dict(end.usage),
        engine=model.engine,
        engine_version=model.engine_version,
        dtype=model.dtype,
        device=model.device,
        gpu=engine.gpu.stated(),
    )


def asked_of(record: Record) -> tuple[Task[Any, Any], Any, Any]:
    """The task, what the model was given and the parameters. Raises: ReplayRefused for whatever of it this release cannot do again."""
    task = TASKS.get(record.task)
    if task is None:
        raise ReplayRefused(f"the task is {record.task}, and this release runs {', '.join(TASKS)} again")
    try:
        return (task, *task.again(_prompt(record), record.parameters))
    except RequestError as error:
        raise ReplayRefused(f"the record's {error.param or 'request'} {error.reason}") from error


def _prompt(record: Record) -> object:
    """The record's prompt as the request had it: with the contents of what the prompt names by digest, and with the members of its objects
    in the order in which they came, which a record does not keep. A schema's order is the answer's.
    """
    if isinstance(record.prompt, BlobRef) or isinstance(record.instructions, BlobRef):
        return None
    if record.request is None or isinstance(record.request, BlobRef):
        template = record.instructions.chat_template if record.instructions is not None else None
        return record.prompt if template is None else {**(record.prompt or {}), TEMPLATE: template}
    request, http = record.request, record.http
    sent = read(request.reader, http.method, request.target, request.content_type, request.body)
    return sent.whole if same_value(sent.prompt, record.prompt) else record.prompt


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
            task=record.task,
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


def _run(engine: Engine, call: Call, gathered: Gather) -> Finished:
    engine.submit(call)
    while engine.has_work():
        for event in engine.step():
            if isinstance(event, Piece):
                _add(gathered, gathered.parts(event))
            elif isinstance(event, Finished):
                _add(gathered, gathered.rest(event.finish_reasons))
                return event
            elif isinstance(event, Failed):
                raise ReplayRefused(f"{event.kind}: {event.reason}")
    raise ReplayRefused("the engine ended without an answer")


def _add(gathered: Gather, parts: Iterable[Any]) -> None:
    for part in parts:
        gathered.add(part)
