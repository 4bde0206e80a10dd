"""Several answers, changed logits and shown tokens: against the transformers library, and against sums done by hand."""

import math
from collections import Counter

import pytest
import torch
from transformers import (
    LlamaForCausalLM,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
)

from tallystick_platform.engine.forward import Forward
from tallystick_platform.engine.loading import EngineConfig, load_codec, load_engine
from tallystick_platform.engine.sampler import Sampler
from tallystick_platform.engine.scheduler import SchedulerConfig
from tallystick_platform.engine.shaping import Shaping
from tallystick_platform.engine.shown import LEAST_LOGPROB, ShownTokens, TokenNames
from tallystick_platform.protocol import Call, Failed, Finished, Piece, Started, TokenEntry
from tallystick_platform.tasks import COMPLETION
from tallystick_platform.tasks.drawing import MAX_CHOICES, MAX_SHOWN_TOKENS, TextCall, choice_seed, encode_call
from tests.support.tiny_causal import write_tiny_causal
from tests.support.tiny_model import draw, write_tiny_model

PROMPT = (5, 9, 7, 9, 30, 5, 12)
SAMPLED = {"temperature": 0.9, "top_p": 0.95, "top_k": 40, "max_tokens": 12, "stop": ()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("choices") / "tiny")


@pytest.fixture(scope="module")
def folders(folder, tmp_path_factory):
    return {"audit": folder, "causal": write_tiny_causal(tmp_path_factory.mktemp("choices") / "causal", "mistral")}


def loaded(folder, tmp_path, **bounds):
    scheduler = SchedulerConfig(**{"max_active": 4, "max_waiting": 8, "piece_size": 4, "prefill_budget": 4, **bounds})
    config = EngineConfig(model=str(folder), models_dir=tmp_path, device="cpu", scheduler=scheduler, threads=1)
    return load_engine(config, lambda stage, fraction: None)


@pytest.fixture
def engine(folder, tmp_path):
    return loaded(folder, tmp_path)


def call(number=1, prompt=PROMPT, given=None, **changes):
    return Call(number.to_bytes(16), COMPLETION.name, encode_call(draw(**changes), prompt=prompt, **(given or {})))


def run(engine, *calls):
    for one in calls:
        engine.submit(one)
    events = []
    while engine.has_work():
        events += engine.step()
        assert len(events) < 5_000
    return events


def answers(events, one):
    """Texts and tokens of each choice, and the last event."""
    texts, tokens = {}, {}
    (end,) = [event for event in events if event.request_id == one.request_id and isinstance(event, Finished | Failed)]
    for event in events:
        if event.request_id == one.request_id and isinstance(event, Piece):
            texts[event.output] = texts.get(event.output, "") + event.data
            tokens.setdefault(event.output, []).extend(event.logprobs or ())
    return texts, tokens, end


def drawn_by(engine, one):
    """The ids that a greedy request draws, by their bytes, which are each one token's own in the tiny model."""
    events = run(engine, one)
    _, tokens, _ = answers(events, one)
    return [entry.data for entry in tokens[0]]


def their_greedy(folder, processors, count):
    model = LlamaForCausalLM.from_pretrained(folder)
    ends = load_codec(folder).end_tokens
    ids = list(PROMPT)
    for _ in range(count):
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1:].float()
        token = int(processors(torch.tensor([ids]), logits).argmax())
        ids.append(token)
        if token in ends:
            break
    return ids[len(PROMPT) :]


@pytest.mark.parametrize(
    ("changes", "given", "processor"),
    [
        ({"repetition_penalty": 1.7}, {}, lambda ends: RepetitionPenaltyLogitsProcessor(1.7)),
        ({"repetition_penalty": 0.6}, {}, lambda ends: RepetitionPenaltyLogitsProcessor(0.6)),
        (
            {},
            {"logit_bias": {11: 30.0, 40: -100.0}},
            lambda ends: SequenceBiasLogitsProcessor([[[11], 30.0], [[40], -100.0]]),
        ),
        ({"min_tokens": 9}, {}, lambda ends: MinNewTokensLengthLogitsProcessor(len(PROMPT), 9, sorted(ends), "cpu")),
    ],
    ids=["repeated less", "repeated more", "biased", "no early end"],
)
def test_logits_are_changed_as_the_transformers_library_changes_them(engine, folder, changes, given, processor):
    codec = load_codec(folder)
    theirs = their_greedy(folder, LogitsProcessorList([processor(codec.end_tokens)]), 10)
    one = call(given={"logprobs": 0, **given}, max_tokens=10, stop=(), **changes)
    names = TokenNames(codec.token_bytes, codec.special)
    assert drawn_by(engine, one) == [names.of(token)[1] for token in theirs if token not in codec.end_tokens]


def test_presence_and_frequency_are_taken_off_what_was_said_by_the_published_sum():
    logits = torch.tensor([1.0, -2.0, 3.0, 0.5])
    shaping = Shaping(TextCall(draw=draw(presence_penalty=0.5, frequency_penalty=0.25)), PROMPT, 4, frozenset(), None)
    said = Counter()
    for token in (2, 2, 1, 2):
        shaping.note(token)
        said[token] += 1
    expected = [value - 0.25 * said[token] - 0.5 * (said[token] > 0) for token, value in enumerate(logits.tolist())]
    assert shaping.apply(logits).tolist() == expected
    assert logits.tolist() == [1.0, -2.0, 3.0, 0.5]


@pytest.mark.parametrize("min_p", [0.05, 0.3, 1.0])
def test_min_p_keeps_what_the_transformers_library_keeps(min_p):
    logits = torch.randn(200, generator=torch.Generator().manual_seed(3)) * 2
    kept = torch.isfinite(MinPLogitsWarper(min_p)(torch.tensor([[0]]), (logits / 0.8)[None])[0])
    drawn = {Sampler(temperature=0.8, top_p=1.0, top_k=0, min_p=min_p, seed=seed).draw(logits) for seed in range(2_000)}
    assert drawn <= set(kept.nonzero().flatten().tolist())
    assert len(drawn) > (0 if min_p == 1.0 else 1)


def test_without_new_parameters_the_very_numbers_are_drawn_from():
    logits = torch.randn(50, generator=torch.Generator().manual_seed(1))
    shaping = Shaping(TextCall(draw=draw()), PROMPT, 50, frozenset({1}), None)
    shaping.note(3)
    assert shaping.apply(logits) is logits


@pytest.mark.parametrize("kind", ["audit", "causal"])
def test_the_first_of_several_answers_is_the_answer_to_a_request_for_one(folders, kind, tmp_path):
    engine = loaded(folders[kind], tmp_path)
    one, three = call(1, seed=7, **SAMPLED), call(2, seed=7, n=3, **SAMPLED)
    alone, _, _ = answers(run(engine, one), one)
    texts, _, end = answers(run(engine, three), three)
    assert texts[0] == alone[0]
    assert len({texts[0], texts[1], texts[2]}) == 3
    assert len(end.finish_reasons) == 3
    assert end.usage["input_tokens"] == len(PROMPT)


@pytest.mark.parametrize("kind", ["audit", "causal"])
def test_each_answer_is_that_of_a_request_with_its_own_seed(folders, kind, tmp_path):
    engine = loaded(folders[kind], tmp_path)
    three = call(1, seed=7, n=3, **SAMPLED)
    texts, _, end = answers(run(engine, three), three)
    alone = [call(10 + at, seed=choice_seed(7, at), **SAMPLED) for at in range(3)]
    events = run(engine, *alone)
    found = [answers(events, one) for one in alone]
    assert [texts[at] for at in range(3)] == [one[0][0] for one in found]
    assert end.usage["output_tokens"] == sum(one[2].usage["output_tokens"] for one in found)


def test_neighbours_do_not_change_several_answers(engine):
    three = call(1, seed=7, n=3, frequency_penalty=0.5, **SAMPLED)
    alone, _, _ = answers(run(engine, three), three)
    others = [call(10 + at, seed=at, n=1 + at % 2, **SAMPLED) for at in range(5)]
    beside, _, _ = answers(run(engine, *others[:2], three, *others[2:]), three)
    assert alone == beside


def test_more_answers_than_places_are_computed_where_nothing_else_is(folder, tmp_path):
    engine = loaded(folder, tmp_path, max_active=2)
    one, many = call(1, seed=3, **SAMPLED), call(2, n=MAX_CHOICES, seed=3, **SAMPLED)
    events = run(engine, one, many)
    texts, _, end = answers(events, many)
    assert len(end.finish_reasons) == len(texts) == MAX_CHOICES
    assert answers(events, one)[0][0] == texts[0]


def test_a_request_for_several_waits_for_as_many_places(engine):
    engine.submit(call(1, max_tokens=9, stop=(), min_tokens=9))
    engine.step()
    engine.submit(call(2, n=4, max_tokens=2, stop=()))
    engine.step()
    started = [event for _ in range(3) for event in engine.step() if event.request_id == (2).to_bytes(16)]
    assert started == []
    assert engine.requests() == 2
    while engine.has_work():
        started += [event for event in engine.step() if event.request_id == (2).to_bytes(16)]
    assert isinstance(started[-1], Finished)


def test_seeds_of_answers_are_those_that_the_rule_gives():
    assert [choice_seed(7, 0), choice_seed(-1, 0)] == [7, -1]
    # printf 'tallystick choice\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0\1' | sha256sum | cut -c1-16
    assert choice_seed(7, 1) == 0xB9B6359430601425
    assert choice_seed(-1, 3) == choice_seed(2**64 - 1, 3)
    assert len({choice_seed(seed, at) for seed in range(50) for at in range(MAX_CHOICES)}) == 50 * MAX_CHOICES


def test_a_cancelled_request_ends_all_its_answers_at_once(engine):
    many = call(1, n=3, max_tokens=50, min_tokens=50, stop=())
    engine.submit(many)
    for _ in range(4):
        engine.step()
    engine.cancel(many.request_id)
    events = [event for event in engine.step() if isinstance(event, Finished)]
    assert [event.finish_reasons for event in events] == [("cancelled",)]
    assert not engine.has_work()


@pytest.mark.parametrize("kind", ["audit", "causal"])
def test_shown_tokens_have_the_probabilities_of_the_models_own_logits(folders, kind, tmp_path):
    from transformers import AutoModelForCausalLM

    engine = loaded(folders[kind], tmp_path)
    one = call(given={"logprobs": 3}, max_tokens=6, min_tokens=6, stop=(), frequency_penalty=1.0)
    texts, tokens, _ = answers(run(engine, one), one)
    codec = load_codec(folders[kind])
    names = TokenNames(codec.token_bytes, codec.special)
    ids = {names.of(token): token for token in range(len(codec.token_bytes))}
    said = [ids[entry.text, entry.data] for entry in tokens[0]]
    model = AutoModelForCausalLM.from_pretrained(folders[kind])
    with torch.inference_mode():
        logits = model(torch.tensor([[*PROMPT, *said]])).logits[0].double()
    for at, entry in enumerate(tokens[0]):
        row = logits[len(PROMPT) - 1 + at].tolist()
        total = math.log(sum(math.exp(value) for value in row))
        assert entry.logprob == pytest.approx(row[said[at]] - total, abs=1e-4)
        best = sorted(row, reverse=True)[:3]
        assert [one.logprob for one in entry.top] == pytest.approx([value - total for value in best], abs=1e-4)
    assert b"".join(entry.data for entry in tokens[0]).decode(errors="replace") == texts[0]


def test_shown_tokens_change_nothing_of_what_is_drawn(engine):
    plain, shown = call(1, seed=5, **SAMPLED), call(2, seed=5, given={"logprobs": 2}, **SAMPLED)
    events = run(engine, plain, shown)
    assert answers(events, plain)[0] == answers(events, shown)[0]


@pytest.mark.parametrize("kind", ["audit", "causal"])
def test_an_echoed_prompt_stands_in_front_with_the_probabilities_of_its_tokens(folders, kind, tmp_path):
    from transformers import AutoModelForCausalLM

    engine = loaded(folders[kind], tmp_path)
    one = call(given={"logprobs": 1, "echo": True}, max_tokens=3, min_tokens=3, stop=())
    plain = call(2, max_tokens=3, min_tokens=3, stop=())
    events = run(engine, one, plain)
    texts, tokens, end = answers(events, one)
    codec = load_codec(folders[kind])
    prompt = b"".join(codec.token_bytes[token] for token in PROMPT).decode(errors="replace")
    assert texts[0] == prompt + answers(events, plain)[0][0]
    assert end.usage == {"input_tokens": len(PROMPT), "output_tokens": 3}
    model = AutoModelForCausalLM.from_pretrained(folders[kind])
    with torch.inference_mode():
        theirs = model(torch.tensor([PROMPT])).logits[0].double().log_softmax(dim=-1)
    assert tokens[0][0].logprob is None
    found = [entry.logprob for entry in tokens[0][1 : len(PROMPT)]]
    assert found == pytest.approx([float(theirs[at - 1, PROMPT[at]]) for at in range(1, len(PROMPT))], abs=1e-4)
    assert len(tokens[0]) == len(PROMPT) + 3


def test_a_prompt_can_be_looked_at_without_an_answer(engine):
    one = call(given={"logprobs": 0, "echo": True}, max_tokens=0, n=2)
    texts, tokens, end = answers(run(engine, one), one)
    assert (end.finish_reasons, end.usage["output_tokens"]) == (("length", "length"), 0)
    assert texts[0] == texts[1] != ""
    assert [len(tokens[at]) for at in range(2)] == [len(PROMPT)] * 2


def test_tokens_that_a_stop_string_swallows_are_not_shown(engine):
    whole = call(1, given={"logprobs": 0}, max_tokens=10, min_tokens=10, stop=())
    texts, tokens, _ = answers(run(engine, whole), whole)
    stop = tokens[0][4].text
    cut = call(2, given={"logprobs": 0}, max_tokens=10, stop=(stop,))
    short, shown, end = answers(run(engine, cut), cut)
    assert short[0] == texts[0].partition(stop)[0]
    assert end.finish_reason == "stop"
    assert "".join(entry.text for entry in shown.get(0, ())) == short[0]


def test_a_token_that_is_partly_swallowed_is_shown():
    shown = ShownTokens()
    entries = [TokenEntry(text, text.encode(), -1.0) for text in ("ab", "", "cd", "e")]
    for entry in entries:
        shown.add(entry, len(entry.text))
    assert shown.take(3) == entries[:3]
    assert shown.take(0) == []
    assert shown.rest() == entries[3:]


def test_what_cannot_come_has_a_number_that_json_can_hold():
    entry = TokenNames([b"a", b"b"], {}).entry(torch.tensor([0.0, -torch.inf]), 1, 2)
    assert (entry.logprob, [one.logprob for one in entry.top]) == (LEAST_LOGPROB, [0.0, LEAST_LOGPROB])


def test_special_tokens_are_shown_by_their_names(folder):
    codec = load_codec(folder)
    (end, *_) = sorted(codec.end_tokens)
    text, data = TokenNames(codec.token_bytes, codec.special).of(end)
    assert text == codec.special[end] == data.decode()
    assert codec.token_bytes[end] == b""


def test_a_stop_token_ends_an_answer_and_is_no_text_of_it(engine, folder):
    codec = load_codec(folder)
    plain = call(1, given={"logprobs": 0}, max_tokens=8, min_tokens=8, stop=())
    _, tokens, _ = answers(run(engine, plain), plain)
    token = codec.token_bytes.index(tokens[0][3].data)
    first = [entry.data for entry in tokens[0]].index(tokens[0][3].data)
    one = call(2, max_tokens=8, stop=(), stop_token_ids=(token,))
    texts, _, end = answers(run(engine, one), one)
    assert (end.finish_reason, end.usage["output_tokens"]) == ("stop", first + 1)
    assert texts.get(0, "") == "".join(entry.text for entry in tokens[0][:first])


def test_the_models_end_is_passed_over_where_that_is_asked_for(engine, folder):
    (end, *_) = sorted(load_codec(folder).end_tokens)
    ends = call(1, given={"logit_bias": {end: 100.0}}, max_tokens=5, stop=())
    goes_on = call(2, given={"logit_bias": {end: 100.0}}, max_tokens=5, stop=(), ignore_eos=True)
    waits = call(3, given={"logit_bias": {end: 100.0}}, max_tokens=5, stop=(), min_tokens=3)
    events = run(engine, ends, goes_on, waits)
    found = [answers(events, one)[2] for one in (ends, goes_on, waits)]
    assert [(last.finish_reason, last.usage["output_tokens"]) for last in found] == [
        ("stop", 1),
        ("length", 5),
        ("stop", 4),
    ]


def test_stop_strings_are_not_looked_for_before_the_least_tokens(engine):
    whole = call(1, given={"logprobs": 0}, max_tokens=8, min_tokens=8, stop=())
    texts, tokens, _ = answers(run(engine, whole), whole)
    one = call(2, max_tokens=8, min_tokens=7, stop=(tokens[0][1].text,))
    found, _, end = answers(run(engine, one), one)
    assert end.usage["output_tokens"] >= 7
    assert texts[0].startswith(found[0])


@pytest.mark.parametrize(
    ("changes", "given", "param"),
    [({}, {"logit_bias": {10**6: 1.0}}, "logit_bias"), ({"stop_token_ids": (10**6,)}, {}, "stop_token_ids")],
)
def test_a_token_that_the_model_does_not_know_is_refused_by_name(engine, changes, given, param):
    one = call(given=given, **changes)
    (failed,) = run(engine, one)
    assert (failed.kind, failed.param) == ("parameter-rejected", param)
    assert "names the token 1000000" in failed.reason


def test_so_many_tokens_can_be_shown_and_no_more(tmp_path):
    folder = write_tiny_model(tmp_path / "long", max_position_embeddings=16_384)
    engine = loaded(folder, tmp_path)
    most = MAX_SHOWN_TOKENS // (16 * 4)
    taken, refused = (call(at, given={"logprobs": 3}, n=16, max_tokens=most + at) for at in (0, 1))
    engine.submit(refused)
    engine.submit(taken)
    failed, started = engine.step()[:2]
    assert (failed.kind, failed.param) == ("parameter-rejected", "logprobs")
    assert isinstance(started, Started)
    echoed = call(2, given={"logprobs": 3, "echo": True}, n=16, max_tokens=most)
    engine.cancel(taken.request_id)
    engine.submit(echoed)
    assert [event.param for event in engine.step() if isinstance(event, Failed)] == ["logprobs"]


class Broken:
    """A model whose numbers are not finite for one of its rows."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    def __getattr__(self, name):
        return getattr(self._forward, name)

    def decode(self, caches, tokens):
        logits = self._forward.decode(caches, tokens).clone()
        logits[0] = torch.nan
        return logits


def test_numbers_that_are_none_cost_their_own_request_alone(engine):
    engine._forward = Broken(engine._forward)
    two, other = call(1, n=2, max_tokens=5, min_tokens=5, stop=()), call(2, max_tokens=1, stop=())
    events = run(engine, two, other)
    assert answers(events, two)[2].kind == "engine-failed"
    assert isinstance(answers(events, other)[2], Finished)
