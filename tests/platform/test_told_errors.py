"""What leaves the server of an error: neither where things lie on its disk, nor what a library says in its own words."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tallystick_platform.errors import ModelLoadFailed, ModelUnusable, kind_of
from tallystick_platform.exchange.faults import fault_of
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.jobs.errors import DiskFailed, ExporterFailed, FileChanged, PublishFailed
from tallystick_platform.jobs.process import ExportFault
from tallystick_platform.registry.errors import SourceUnusable

SECRET = "/srv/tallystick/models/store/3f9c/model.safetensors"
FULL = OSError(errno.ENOSPC, "No space left on device", SECRET)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, "No space left on device"),
        (OSError(f"cannot open {SECRET}"), "the library says OSError"),
        (KeyError(SECRET), "the library says KeyError"),
        (RuntimeError(f"Error in {SECRET}"), "the library says RuntimeError"),
        (FormatError(path="config.json", reason="it is empty"), "config.json: it is empty"),
    ],
)
def test_an_error_from_below_is_named_and_not_quoted(error: Exception, said: str) -> None:
    assert kind_of(error) == said


@pytest.mark.parametrize(
    "failure",
    [
        DiskFailed(error=FULL),
        ExporterFailed(reason=f"it wrote {SECRET}"),
        PublishFailed(reason=f"{SECRET} is missing"),
        FileChanged(name="a", reason=f"is not {SECRET}"),
        ExportFault(code="export_failed", message=f"the export failed: {SECRET}: no such file", parity=None),
        ModelLoadFailed(model="a", reason=f"{SECRET} cannot be read", retry_after_s=1),
        SourceUnusable(source=SECRET, reason="there is no such file"),
    ],
)
def test_no_record_and_no_answer_names_a_place_on_the_servers_disk(failure: Exception) -> None:
    fault = fault_of(failure)
    assert fault is not None
    assert "/srv" not in fault.message
    assert "3f9c/" not in fault.message


def test_a_model_that_does_not_load_is_named_by_its_file_alone() -> None:
    error = ModelLoadFailed(
        model="a", reason=str(ModelUnusable(reason=f"{Path(SECRET)} cannot be read")), retry_after_s=1
    )
    assert error.shown is not None
    assert "model.safetensors cannot be read" in error.shown
    assert "/srv" not in error.shown
