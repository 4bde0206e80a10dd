"""Labels, scores and entities; the transformers library's own pipelines are the oracle."""

import msgspec
import numpy as np
import pytest
import torch

from tallystick_platform.engine import heads
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.protocol import Call, Failed, Finished, Piece
from tallystick_platform.tasks import CLASSIFICATION, ENTITIES, RERANK
from tallystick_platform.tasks.classification import Labelling
from tallystick_platform.tasks.entities import Marking
from tallystick_platform.tasks.rerank import SCORE, Ranking
from tests.support.tiny_encoder import LONGEST, write_tiny_headed

TEXTS = ("the sun", "a stick of the miller", "moon", "the river of the moon of the sun", "debts")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
CLOSE = 2e-6


def load(folder, tmp_path, **changes):
    config = EngineConfig(model=str(folder), models_dir=tmp_path, device="cpu", threads=1, **changes)
    return load_engine(config, lambda stage, fraction: None)


def answered(engine, task, given, used):
    """The outputs of a request, as a record holds them, and its last event."""
    body = task.call(given, used)
    engine.submit(Call(bytes(16), task.name, body))
    gathered, events = task.gather(given, used), []
    while engine.has_work():
        events += engine.step()
    for event in events:
        if isinstance(event, Piece):
            gathered.add(event)
    return gathered.outputs(()), events[-1]


def library(folder, task, **how):
    import transformers

    model = {
        "text-classification": transformers.AutoModelForSequenceClassification,
        "token-classification": transformers.AutoModelForTokenClassification,
    }[task].from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.pipeline(task, model=model, tokenizer=tokenizer, **how)


FAMILIES = [
    ("Bert", {}),
    ("Roberta", {"pad_token_id": 0}),
    ("DistilBert", {"dim": 48, "hidden_dim": 96, "n_layers": 2, "n_heads": 4}),
    ("Electra", {"embedding_size": 48}),
    ("Albert", {"embedding_size": 32}),
    ("DebertaV2", {}),
    (
        "ModernBert",
        {"classifier_pooling": "mean", "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    ),
]


@pytest.mark.parametrize(("family", "changes"), FAMILIES)
def test_labels_are_the_librarys_whatever_the_family(tmp_path, family, changes):
    folder = write_tiny_headed(tmp_path / "m", "SequenceClassification", family=family, **changes)
    engine = load(folder, tmp_path)
    assert (engine.model.task, engine.model.tasks) == ("classification", ("classification",))
    given = tuple((text,) for text in TEXTS)
    outputs, end = answered(engine, CLASSIFICATION, given, Labelling())
    expected = library(folder, "text-classification", top_k=None)(list(TEXTS))
    for output, wanted in zip(outputs, expected, strict=True):
        assert [one["label"] for one in output.content] == [one["label"] for one in wanted]
        assert [one["score"] for one in output.content] == pytest.approx([one["score"] for one in wanted], abs=CLOSE)
    assert end.usage == {"input_tokens": 4 + 7 + 3 + 10 + 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_headed(tmp_path_factory.mktemp("classifier") / "tiny", "SequenceClassification")


@pytest.fixture
def engine(folder, tmp_path):
    return load(folder, tmp_path)


def labels_of(engine, *given, **how):
    outputs, _ = answered(engine, CLASSIFICATION, tuple(given), Labelling(**how))
    return [output.content for output in outputs]


def test_so_many_labels_as_were_asked_for_the_most_probable_first(engine):
    (every,), (two,) = labels_of(engine, ("the sun",)), labels_of(engine, ("the sun",), top_k=2)
    assert two == every[:2]
    assert len(every) == 3
    assert sum(one["score"] for one in every) == pytest.approx(1)


def test_a_pair_is_read_as_the_library_reads_it(engine, folder):
    (found,) = labels_of(engine, ("the sun", "a moon"))
    wanted = library(folder, "text-classification", top_k=None)({"text": "the sun", "text_pair": "a moon"})
    wanted = {one["label"]: one["score"] for one in wanted}
    assert {one["label"]: one["score"] for one in found} == pytest.approx(wanted, abs=CLOSE)
    assert found != labels_of(engine, ("a moon", "the sun"))[0]


def test_raw_scores_are_the_models_own_numbers(engine, folder):
    (found,) = labels_of(engine, ("moon",), raw_scores=True)
    (wanted,) = library(folder, "text-classification", top_k=None, function_to_apply="none")(["moon"])
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in wanted], abs=1e-5)


@pytest.mark.parametrize(("problem", "labels"), [("multi_label_classification", 3), ("regression", 2), (None, 1)])
def test_what_makes_scores_of_numbers_the_configuration_says(tmp_path, problem, labels):
    names = ("good", "bad", "odd")[:labels]
    folder = write_tiny_headed(tmp_path / "m", "SequenceClassification", names, problem_type=problem)
    found = labels_of(load(folder, tmp_path), *((text,) for text in TEXTS))
    expected = library(folder, "text-classification", top_k=None)(list(TEXTS))
    for output, wanted in zip(found, expected, strict=True):
        assert [one["score"] for one in output] == pytest.approx([one["score"] for one in wanted], abs=1e-5)


@pytest.mark.parametrize("family", ["Bert", "DebertaV2"])
def test_neighbours_do_not_change_a_bit(tmp_path, family):
    engine = load(write_tiny_headed(tmp_path / "m", "SequenceClassification", family=family), tmp_path)
    assert engine.model.reproducibility == "reproducible"
    assert engine._kind.states.independent
    given = [(text,) for text in TEXTS] + [("the sun", "of the moon"), ("river " * (LONGEST - 2),)]
    alone = [labels_of(engine, one)[0] for one in given]
    assert labels_of(engine, *given * 3) == alone * 3
    assert labels_of(engine, *given[::-1]) == alone[::-1]


def scores_of(engine, query, documents, **how):
    (output,), end = answered(engine, RERANK, (query, tuple(documents)), Ranking(**how))
    return {one["index"]: one["score"] for one in output.content}, end


@pytest.mark.parametrize(
    ("changes", "function"),
    [
        ({}, lambda number: 1 / (1 + np.exp(-number))),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, lambda number: number),
        (
            {"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"},
            lambda n: 1 / (1 + np.exp(-n)),
        ),
    ],
)
def test_a_cross_encoder_scores_each_document_with_the_query(tmp_path, changes, function):
    import transformers

    folder = write_tiny_headed(tmp_path / "m", "SequenceClassification", ("fit",), **changes)
    engine = load(folder, tmp_path)
    assert (engine.model.task, engine.model.tasks) == ("rerank", ("rerank", "classification"))
    found, end = scores_of(engine, "the river", TEXTS)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(["the river"] * len(TEXTS), list(TEXTS), padding=True, return_tensors="pt")
    with torch.inference_mode():
        numbers = model(**batch).logits[:, 0].numpy()
    assert found == pytest.approx(dict(enumerate(function(numbers).tolist())), abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert end.usage == {"input_tokens": int(batch["attention_mask"].sum())}
    assert scores_of(engine, "the river", TEXTS, raw_scores=True)[0] == pytest.approx(
        dict(enumerate(numbers.tolist())), abs=1e-5
    )
    assert list(scores_of(engine, "the river", TEXTS, top_n=2)[0]) == list(found)[:2]


def test_a_function_that_is_not_known_is_refused_by_name(tmp_path):
    changes = {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}}
    folder = write_tiny_headed(tmp_path / "m", "SequenceClassification", ("fit",), **changes)
    with pytest.raises(ModelUnusable, match="made by Tanh"):
        load(folder, tmp_path)


def test_what_is_too_long_is_refused_or_cut_where_that_is_asked(engine):
    long = "river " * LONGEST
    _, end = answered(engine, CLASSIFICATION, (("sun",), (long,)), Labelling())
    assert (end.kind, end.reason, end.limit, end.found) == (
        "prompt-too-long",
        "input 1 is too long",
        LONGEST,
        LONGEST + 2,
    )
    assert isinstance(end, Failed)
    _, end = answered(engine, CLASSIFICATION, ((long * 1_000,),), Labelling(truncate_prompt_tokens=-1))
    assert isinstance(end, Finished)
    assert end.usage == {"input_tokens": LONGEST}
    cut = labels_of(engine, ("the sun of the moon",), truncate_prompt_tokens=4)
    assert cut == labels_of(engine, ("the sun",))
    pair = labels_of(engine, ("the sun", "the moon of a river"), truncate_prompt_tokens=7)
    assert pair == labels_of(engine, ("the sun", "the moon"))
    _, end = answered(engine, CLASSIFICATION, (("the sun", "moon"),), Labelling(truncate_prompt_tokens=5))
    assert (end.kind, end.reason) == ("prompt-rejected", "input 0: 5 tokens leave no room for any of the text")


def test_numbers_that_are_none_are_not_given_out(engine, monkeypatch):
    monkeypatch.setattr(
        engine._kind.states, "of", lambda rows: [torch.full((len(row), 48), float("nan")) for row in rows]
    )
    _, end = answered(engine, CLASSIFICATION, (("sun",),), Labelling())
    assert (end.kind, end.reason) == ("engine-failed", "the computation failed")


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("family", ["Bert", "DebertaV2"])
def test_entities_are_the_librarys(tmp_path, strategy, family):
    folder = write_tiny_headed(tmp_path / "m", "TokenClassification", TAGS, family=family)
    engine = load(folder, tmp_path)
    assert engine.model.tasks == ("entities",)
    texts = (*TEXTS, "The sun of the Moon, debts and the [SEP] river")
    outputs, _ = answered(engine, ENTITIES, texts, Marking(aggregation_strategy=strategy))
    pipeline = library(folder, "token-classification", aggregation_strategy=strategy)
    for text, output in zip(TEXTS, outputs[:-1], strict=True):
        found, wanted = output.content["entities"], pipeline(text)
        assert [one["entity"] for one in found] == [one.get("entity_group", one.get("entity")) for one in wanted]
        for name in ("start", "end", "word"):
            assert [one[name] for one in found] == [one[name] for one in wanted]
        assert [one["score"] for one in found] == pytest.approx([float(one["score"]) for one in wanted], abs=CLOSE)
    assert all(texts[-1][one["start"] : one["end"]] for one in outputs[-1].content["entities"])
    again = [answered(engine, ENTITIES, (text,), Marking(aggregation_strategy=strategy))[0][0] for text in texts]
    assert list(outputs) == again


def test_pieces_are_what_tasks_read(engine):
    assert SCORE.size == 8
    piece = msgspec.msgpack.encode([("good", 0.25)])
    gathered = CLASSIFICATION.gather((("x",),), Labelling())
    gathered.add(Piece(bytes(16), piece, {}, 0))
    assert gathered.outputs(())[0].content == [{"label": "good", "score": 0.25}]


def test_a_head_that_looks_at_more_than_the_first_token_is_computed_whole(tmp_path):
    folder = write_tiny_headed(
        tmp_path / "m", "SequenceClassification", family="ModernBert", classifier_pooling="mean",
        cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    whole = load(folder, tmp_path)._kind.headed
    assert whole._given is None
    assert heads.Headed is type(whole)
