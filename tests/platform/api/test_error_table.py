"""How errors are answered and recorded: each says it itself, and the server's own affairs stay inside."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from tallystick.record import RecordFault
from tallystick_platform.api import error_table, refusals
from tallystick_platform.api.error_table import describe
from tallystick_platform.errors import (
    INTERNAL_CODE,
    Backlogged,
    EngineFailed,
    PlatformError,
    PromptTooLong,
    StoreError,
    TokenBusy,
    UnknownModel,
)
from tallystick_platform.exchange import faults
from tallystick_platform.formats import errors as formats_errors
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.jobs import errors as jobs_errors
from tallystick_platform.jobs.errors import ExportQueueFull
from tallystick_platform.registry import errors as registry_errors


@pytest.mark.parametrize("error", [KeyError("secret"), StoreError(path="/srv/a", reason="secret")])
def test_an_error_without_a_code_says_nothing_of_itself(error: Exception) -> None:
    answer = describe(error)
    assert (answer.status, answer.message) == (500, error_table.INTERNAL_MESSAGE)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FormatError(path=Path("/srv/my models/a/model.safetensors"), reason="is cut"), "model.safetensors: is cut"),
        (
            EngineFailed(reason="[Errno 2] no file: '/srv/t/models/x.bin'"),
            "the model failed: [Errno 2] no file: 'x.bin'",
        ),
        (
            EngineFailed(reason="ask /v1/models/a/b for owner/name"),
            "the model failed: ask /v1/models/a/b for owner/name",
        ),
        (EngineFailed(reason="see https://host/a/b"), "the model failed: see https://host/a/b"),
    ],
)
def test_a_message_names_no_folder_of_the_server(error: PlatformError, message: str) -> None:
    assert describe(error).message == message


def test_a_long_message_is_cut() -> None:
    assert len(describe(UnknownModel(model="m" * 5_000)).message) <= error_table.MAX_MESSAGE_CHARS + 3


@pytest.mark.parametrize("module", [refusals, faults, jobs_errors, registry_errors, formats_errors])
def test_what_a_request_can_meet_has_a_code_of_its_own(module: ModuleType) -> None:
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    errors = {kind.__name__: kind.code for kind in kinds if issubclass(kind, PlatformError)}
    assert {name for name, code in errors.items() if code == INTERNAL_CODE} <= {"FolderBroken"}


def test_one_code_has_one_status() -> None:
    statuses: dict[str, set[int]] = {}
    waiting = [PlatformError]
    while waiting:
        kind = waiting.pop()
        statuses.setdefault(kind.code, set()).add(kind.status)
        waiting += kind.__subclasses__()
    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}


def test_a_class_inherits_what_it_does_not_say() -> None:
    assert (TokenBusy.status, Backlogged.status, ExportQueueFull.code) == (429, 503, "overloaded")


def test_the_record_names_a_failure_as_the_answer_does() -> None:
    failure = PromptTooLong(limit=8, found=9)
    assert faults.fault_of(failure) == RecordFault(code="context_length_exceeded", message=str(failure))
    assert msgspec.to_builtins(describe(failure).body()) == {
        "message": str(failure),
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }


@pytest.mark.parametrize("failure", [KeyError("secret"), StoreError(path="/srv/a", reason="secret")])
def test_a_record_says_nothing_of_an_internal_failure(failure: Exception) -> None:
    fault = faults.fault_of(failure)
    assert fault is not None
    assert fault.code == INTERNAL_CODE
    assert "secret" not in fault.message


def test_a_record_names_no_folder_of_the_server() -> None:
    fault = faults.fault_of(FormatError(path=Path("/srv/my models/a.gguf"), reason="is cut"))
    assert fault == RecordFault(code="model_refused", message="a.gguf: is cut")
