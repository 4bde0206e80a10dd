"""Text to pictures by a pipeline that was never trained: against the library's own picture, a step at a time."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.oneshot import OneShotEngine
from tallystick_platform.engine.painter import load_painter
from tallystick_platform.errors import ModelUnusable, ParameterOutOfRange
from tallystick_platform.formats.folder import inspect_folder
from tallystick_platform.protocol import Call, Finished, Piece
from tallystick_platform.tasks import IMAGE
from tallystick_platform.tasks.image import MAX_PIXELS, Drawing, sides_of
from tests.support.tiny_diffusion import SIDE, write_tiny_diffusion

GIVEN = {"n": 1, "size": "32x48", "seed": 9, "steps": 3, "guidance": 4.0, "negative_prompt": ""}


def ignore(stage: str, fraction: float) -> None:
    del stage, fraction


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_diffusion(tmp_path_factory.mktemp("pictures") / "model")


@pytest.fixture(scope="module")
def engine(folder, tmp_path_factory) -> OneShotEngine:
    config = EngineConfig(model=str(folder), models_dir=tmp_path_factory.mktemp("models"), device="cpu")
    return load_engine(config, ignore)


def submit(engine: OneShotEngine, request_id: bytes, **how: object) -> None:
    engine.submit(Call(request_id, "image", IMAGE.call("a cat", Drawing(**GIVEN | how))))


def run(engine: OneShotEngine) -> list:
    events = []
    while engine.has_work():
        events += engine.step()
    return events


def pictures(engine: OneShotEngine, **how: object) -> list[bytes]:
    submit(engine, b"a", **how)
    return [one.data for one in run(engine) if isinstance(one, Piece)]


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def test_a_picture_is_the_library_s_own(engine: OneShotEngine, folder: Path) -> None:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    expected = pipeline(
        "a cat", width=32, height=48, num_inference_steps=3, guidance_scale=4.0, output_type="pil",
        generator=torch.Generator().manual_seed(9),
    ).images[0]  # fmt: skip
    (found,) = pictures(engine)
    assert np.array_equal(pixels(found), np.asarray(expected))
    assert pixels(found).shape == (48, 32, 3)


def test_each_of_several_pictures_is_the_one_that_its_own_seed_gives(engine: OneShotEngine) -> None:
    both = pictures(engine, n=2)
    assert both == [pictures(engine, seed=9)[0], pictures(engine, seed=10)[0]]
    assert both[0] != both[1]


def test_what_is_asked_for_changes_the_picture(engine: OneShotEngine) -> None:
    found = [pictures(engine, **how)[0] for how in ({}, {"steps": 2}, {"guidance": 9.0}, {"negative_prompt": "dog"})]
    assert len(set(found)) == len(found)


def test_requests_take_turns_step_by_step_and_change_nothing(engine: OneShotEngine) -> None:
    (alone,) = pictures(engine)
    submit(engine, b"long", steps=20)
    engine.step()
    submit(engine, b"a")
    events = run(engine)
    order = [event.request_id for event in events if isinstance(event, Finished)]
    assert order == [b"a", b"long"], "the short one does not wait for the long one"
    assert [event.data for event in events if isinstance(event, Piece) and event.request_id == b"a"] == [alone]
    (end,) = [event for event in events if isinstance(event, Finished) and event.request_id == b"a"]
    assert end.usage == {"images": 1}


def test_a_picture_that_nobody_waits_for_is_given_up(engine: OneShotEngine) -> None:
    submit(engine, b"a", steps=100)
    engine.step()
    engine.cancel(b"a")
    assert [type(event) for event in run(engine)] == [Finished]
    assert not [thread for thread in threading.enumerate() if thread.name == "in turns"]


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ("1024x1024", (1024, 1024)),
        ("16x65536", (16, 65_536)),
        ("1024x1025", None),
        ("8x8", None),
        ("032x32", None),
        ("32", None),
        ("auto", None),
    ],
)
def test_a_size_is_held_to_the_bound_of_pixels(size: str, sides: tuple[int, int] | None) -> None:
    assert sides_of(size) == sides
    assert sides is None or sides[0] * sides[1] <= MAX_PIXELS


def test_a_model_tells_its_defaults_and_refuses_sizes_that_it_cannot_draw(engine: OneShotEngine) -> None:
    used = IMAGE.effective({}, engine.model, lambda: 5)
    assert (used.size, used.steps, used.guidance, used.n, used.seed) == (f"{SIDE}x{SIDE}", 50, 7.5, 1, 5)
    for size in ("33x32", "2048x2048", "8x8"):
        with pytest.raises(ParameterOutOfRange, match=r"size|side"):
            IMAGE.effective({"size": size}, engine.model, lambda: 5)


def test_the_registry_knows_what_the_engine_serves(engine: OneShotEngine, folder: Path) -> None:
    assert inspect_folder(folder).task == engine.model.task == "image"
    assert engine.model.reproducibility == "reproducible"


def test_a_folder_that_is_no_pipeline_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "NoPipeline"}')
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        load_painter(tmp_path, torch.float32, torch.device("cpu"))
