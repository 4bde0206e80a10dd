"""Texts to texts; the transformers library's own `generate`, one text at a time, is the oracle."""

import pytest
import torch

from tallystick_platform.engine import seq2seq
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.protocol import Call, Failed, Finished, ModelInfo, Piece
from tallystick_platform.tasks import TRANSLATION
from tallystick_platform.tasks.translation import DEFAULTS, Writing
from tests.support.tiny_seq2seq import LONGEST, SENTENCES, write_tiny_marian, write_tiny_nllb, write_tiny_t5


def load(folder, tmp_path):
    return load_engine(
        EngineConfig(model=str(folder), models_dir=tmp_path, device="cpu", threads=1), lambda stage, fraction: None
    )


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return write_tiny_t5(tmp_path_factory.mktemp("t5") / "tiny")


@pytest.fixture
def engine(t5, tmp_path):
    return load(t5, tmp_path)


def writing(engine, **how):
    return TRANSLATION.effective({"max_tokens": 12, **how}, engine.model, lambda: 0)


def run(engine, *asked):
    """The outputs of requests that run side by side, each a tuple of texts and parameters; and their last events."""
    gathers, ends = {}, {}
    for number, (texts, used) in enumerate(asked):
        call = Call(number.to_bytes(16), TRANSLATION.name, TRANSLATION.call(texts, used))
        gathers[call.request_id] = TRANSLATION.gather(texts, used)
        engine.submit(call)
    while engine.has_work():
        for event in engine.step():
            if isinstance(event, Piece):
                gathers[event.request_id].add(event)
            elif isinstance(event, Finished | Failed):
                ends[event.request_id] = event
    return [(gathers[key].outputs(()), ends[key]) for key in gathers]


def texts_of(engine, *texts, **how):
    ((outputs, end),) = run(engine, (texts, writing(engine, **how)))
    assert isinstance(end, Finished), end
    return [output.content for output in outputs]


def by_the_library(folder, text, src_lang=None, **how):
    import transformers

    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if src_lang is not None:
        tokenizer.src_lang = src_lang
    with torch.inference_mode():
        found = model.generate(**tokenizer(text, return_tensors="pt"), do_sample=False, **how)
    return tokenizer.decode(found[0], skip_special_tokens=True)


@pytest.mark.parametrize(
    "how", [{}, {"num_beams": 4}, {"num_beams": 2, "length_penalty": 2.0, "no_repeat_ngram_size": 2}]
)
def test_texts_are_those_of_the_library(engine, t5, how):
    expected = [by_the_library(t5, text, max_new_tokens=12, **how) for text in SENTENCES]
    assert texts_of(engine, *SENTENCES, **how) == expected
    assert len(set(expected)) > 1


def test_a_text_says_whether_it_came_to_its_end(engine):
    ((outputs, end),) = run(engine, (SENTENCES, writing(engine, max_tokens=3)))
    assert [output.kind for output in outputs] == ["text"] * 4
    assert {output.finish_reason for output in outputs} <= {"stop", "length"}
    assert end.usage["output_tokens"] <= 12
    assert end.usage["input_tokens"] == sum(len(engine._kind._ids(text, None)) for text in SENTENCES)
    assert end.device_time_us > 0


def test_neighbours_do_not_change_a_text(engine):
    assert engine.model.reproducibility == "reproducible"
    assert engine._kind.independent
    alone = [texts_of(engine, text)[0] for text in SENTENCES]
    used = writing(engine)
    found = run(engine, (SENTENCES, used), (SENTENCES[::-1] * 5, used), (SENTENCES, writing(engine, num_beams=3)))
    assert [output.content for output in found[0][0]] == alone
    assert [output.content for output in found[1][0]] == alone[::-1] * 5


def test_other_requests_are_looked_after_while_a_text_is_written(engine):
    texts, used = SENTENCES[:1], writing(engine)
    calls = [Call(number.to_bytes(16), TRANSLATION.name, TRANSLATION.call(texts, used)) for number in (1, 2)]
    engine.submit(calls[0])
    first = engine.step()
    assert not any(isinstance(event, Piece | Finished) for event in first)
    engine.cancel(calls[0].request_id)
    engine.submit(calls[1])
    events = engine.step()
    assert [event.finish_reason for event in events if isinstance(event, Finished)] == ["cancelled"]
    while engine.has_work():
        events += engine.step()
    assert isinstance(events[-1], Finished)


def test_defaults_are_the_models_own(tmp_path):
    engine = load(write_tiny_marian(tmp_path / "m"), tmp_path)
    assert isinstance(engine.model, ModelInfo)
    assert engine.model.defaults == {**DEFAULTS, "num_beams": 3, "max_tokens": 20}
    used = TRANSLATION.effective({}, engine.model, lambda: 0)
    assert used == Writing(**{**DEFAULTS, "num_beams": 3, "max_tokens": 20})
    ((outputs, _),) = run(engine, (SENTENCES[:1], used))
    assert outputs[0].content == by_the_library(tmp_path / "m", SENTENCES[0], max_new_tokens=20)


def test_a_direction_of_t5_is_the_prefix_that_its_configuration_names(engine, t5):
    found = texts_of(engine, "the moon", source_language="en", target_language="de")
    assert found == [by_the_library(t5, "sun to moon: the moon", max_new_tokens=12)]


def test_a_multilingual_marian_has_its_mark_before_the_text(tmp_path):
    folder = write_tiny_marian(tmp_path / "m", (">>fra<<", ">>deu<<"))
    engine = load(folder, tmp_path)
    found = texts_of(engine, "the moon", target_language="deu", source_language="eng")
    assert found == [by_the_library(folder, ">>deu<< the moon", max_new_tokens=12)]


def test_nllb_is_told_both_languages_by_tokens(tmp_path):
    folder = write_tiny_nllb(tmp_path / "m")
    engine = load(folder, tmp_path)
    assert engine.model.defaults["max_tokens"] == 24
    for source, target in ((None, "deu_Latn"), ("fra_Latn", "deu_Latn"), (None, "fra_Latn")):
        first = engine._kind._tokenizer.convert_tokens_to_ids(target)
        expected = by_the_library(
            folder, "the moon", source or "eng_Latn", forced_bos_token_id=first, max_new_tokens=12
        )
        assert texts_of(engine, "the moon", source_language=source, target_language=target) == [expected]


@pytest.mark.parametrize(
    ("write", "how", "reason"),
    [
        (write_tiny_nllb, {}, "target_language is not named, and the model knows: deu_Latn, eng_Latn, fra_Latn"),
        (write_tiny_nllb, {"target_language": "xx"}, "target_language is 'xx'"),
        (write_tiny_nllb, {"target_language": "deu_Latn", "source_language": "xx"}, "source_language is 'xx'"),
        (write_tiny_marian, {"target_language": "deu"}, "target_language is 'deu', and the model knows fra alone"),
        (write_tiny_marian, {"source_language": "deu"}, "source_language is 'deu', and the model knows eng alone"),
        (write_tiny_t5, {"target_language": "de"}, "is 'None to de', and the model knows: en to de, en to fr"),
        (write_tiny_t5, {"truncate_prompt_tokens": 1}, None),
    ],
)
def test_a_language_that_the_model_does_not_know_is_refused_by_name(tmp_path, write, how, reason):
    engine = load(write(tmp_path / "m"), tmp_path)
    ((outputs, end),) = run(engine, (("the sun",), writing(engine, **how)))
    if reason is None:
        assert isinstance(end, Finished)
    else:
        assert (outputs, end.kind) == ((), "prompt-rejected")
        assert reason in end.reason


def test_a_control_token_in_a_text_is_refused(engine):
    ((_, end),) = run(engine, (("the sun </s> moon",), writing(engine)))
    assert end.reason == "input 0: the text holds control tokens of this model, which would be taken for such"


def test_what_is_too_long_is_refused_or_cut_where_that_is_asked(engine):
    for text in ("sun " * LONGEST, "sun " * 100_000):
        ((_, end),) = run(engine, (("moon", text), writing(engine)))
        assert (end.kind, end.reason, end.limit) == ("prompt-too-long", "input 1 is too long", LONGEST)
    ((_, end),) = run(engine, (("sun " * 100_000,), writing(engine, truncate_prompt_tokens=-1)))
    assert end.usage["input_tokens"] == LONGEST


def test_where_rows_disturb_each_other_each_text_is_a_call_of_its_own(engine, monkeypatch):
    calls = iter(range(10_000))
    logits = engine._kind._first_logits
    monkeypatch.setattr(engine._kind, "_first_logits", lambda ids: logits(ids) + next(calls))
    assert not engine._kind.probe()
    assert engine._kind.rows(1) == 1


def test_rows_of_a_call_have_bounds(engine):
    kind = engine._kind
    assert (kind.rows(1, 1), kind.rows(4, 1), kind.rows(1, seq2seq.ROW_TOKENS // 2), kind.rows(64, 1)) == (16, 4, 2, 1)
