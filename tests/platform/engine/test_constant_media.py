"""The engine without a model over sounds, pictures and tables: real files, made of each input's hash."""

import io

import msgspec
import pytest
import soundfile
from PIL import Image

from tallystick.tasks.prediction import Table
from tallystick_platform.engine.constant import ConstantConfig, ConstantEngine
from tallystick_platform.engine.hardware import probe_cpu
from tallystick_platform.protocol import Call, Failed, Piece
from tallystick_platform.tasks import IMAGE, PREDICTION, SPEECH, TRANSCRIPTION
from tallystick_platform.tasks.image import Drawing
from tallystick_platform.tasks.prediction import Predicted, Predicting
from tallystick_platform.tasks.speech import Speaking
from tallystick_platform.tasks.transcription import Transcribing, Transcript


def answers(task, given, used):
    engine = ConstantEngine(ConstantConfig(), probe_cpu())
    engine.submit(Call(b"a", task.name, task.call(given, used)))
    events = []
    while engine.has_work():
        events += engine.step()
    return [one.data if isinstance(one, Piece) else one for one in events if isinstance(one, Piece | Failed)]


def heard(sound, form):
    how = Transcribing(
        language="", prompt="", temperature=0.0, seed=1, response_format=form, timestamp_granularities=("segment",)
    )
    (found,) = answers(TRANSCRIPTION, sound, how)
    return found


def test_a_sound_gets_a_text_that_no_other_sound_gets():
    assert heard(b"one", "json") == heard(b"one", "text") != heard(b"two", "json")


@pytest.mark.parametrize("form", ["srt", "verbose_json"])
def test_times_come_with_the_same_text(form):
    found = msgspec.msgpack.decode(heard(b"one", form), type=Transcript)
    assert [one.text for one in found.segments] == [heard(b"one", "json")]
    assert (found.text is None) is (form == "srt")


def test_a_text_is_spoken_as_a_tone():
    sounds = [answers(SPEECH, text, Speaking(voice="a", speed=1.0, response_format="wav", seed=1))[0] for text in "ab"]
    samples, rate = soundfile.read(io.BytesIO(sounds[0]))
    assert (rate, len(samples), sounds[0] == sounds[1]) == (8_000, 800, False)


def test_any_other_file_than_wav_is_refused_by_name():
    (failed,) = answers(SPEECH, "a", Speaking(voice="a", speed=1.0, response_format="mp3", seed=1))
    assert (failed.kind, failed.param) == ("parameter-rejected", "response_format")


def test_pictures_have_the_size_that_was_asked_for_and_a_colour_each():
    how = Drawing(n=2, size="16x32", seed=1, steps=1, guidance=1.0, negative_prompt="")
    pictures = [Image.open(io.BytesIO(one)) for one in answers(IMAGE, "a", how)]
    assert [one.size for one in pictures] == [(16, 32)] * 2
    assert all(len(one.getcolors()) == 1 for one in pictures)
    assert pictures[0].getpixel((0, 0)) != pictures[1].getpixel((0, 0))


def test_every_row_gets_a_number_of_its_own():
    (found,) = answers(PREDICTION, Table(columns=None, rows=((1,), (2,), (1,))), Predicting(probabilities=False))
    one, two, three = msgspec.msgpack.decode(found, type=Predicted).predictions
    assert one == three != two
