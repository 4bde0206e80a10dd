"""Vectors of the encoder; the transformers library's own outputs, padded and pooled by hand, are the oracle."""

import json
import math
from array import array

import msgspec
import numpy as np
import pytest
import torch

from tallystick_platform.engine import layout, states
from tallystick_platform.engine.encoder import Pooled, load_encoder
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.prompt import TextEncoder
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.engine.states import FEWEST, SIZES, STACKED_TOKENS, Row
from tallystick_platform.errors import ModelUnusable, PromptRejected
from tallystick_platform.protocol import Call
from tallystick_platform.tasks.rerank import SCORE, Ranking, RerankCall
from tests.support.tiny_encoder import LONGEST, SPECIAL, WIDTH, encoder_tokenizer, write_tiny_encoder

CPU = torch.device("cpu")
MEAN = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
TEXTS = ("the sun", "a stick of the miller", "moon", "the river of the moon of the sun", "debts")


def load(folder):
    return load_encoder(folder, TextEncoder(encoder_tokenizer()), torch.float32, CPU)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny", pooling=MEAN)


def input_of(loaded, one, dimensions=None, **how):
    return loaded.input(one, dimensions or loaded.dimensions, how.get("prompt"), how.get("truncated"))


def vector_of(loaded, one, dimensions=None, **how):
    (vector,) = loaded.vectors([input_of(loaded, one, dimensions, **how).data])
    return vector.numpy()


def tokens(loaded, one, **how):
    return list(input_of(loaded, one, **how).data.row.ids)


def row(ids):
    return Pooled(Row(array("i", ids)), 0, WIDTH)


def by_hand(folder, pool):
    """All texts in one padded batch, by the library."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = encoder_tokenizer()
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    found = tokenizer.encode_batch(list(TEXTS))
    mask = torch.tensor([one.attention_mask for one in found])
    with torch.inference_mode():
        states = model(torch.tensor([one.ids for one in found]), attention_mask=mask).last_hidden_state
    pooled = torch.stack([pool(row[: int(kept.sum())]) for row, kept in zip(states, mask, strict=True)])
    return torch.nn.functional.normalize(pooled, dim=1).numpy()


def weighted(states):
    weights = torch.arange(1, len(states) + 1, dtype=torch.float32)[:, None]
    return (states * weights).sum(0) / weights.sum()


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        (MEAN, lambda states: states.mean(0)),
        ({"pooling_mode": "mean"}, lambda states: states.mean(0)),
        ({"pooling_mode_cls_token": True}, lambda states: states[0]),
        ({"pooling_mode_max_tokens": True}, lambda states: states.max(0).values),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, lambda states: states.sum(0) / math.sqrt(len(states))),
        ({"pooling_mode_weightedmean_tokens": True}, weighted),
        ({"pooling_mode_lasttoken": True}, lambda states: states[-1]),
        ({"pooling_mode": ["mean", "cls"]}, lambda states: torch.cat([states[0], states.mean(0)])),
    ],
)
def test_vectors_are_the_librarys_pooled_as_the_folder_says(tmp_path, pooling, pool):
    folder = write_tiny_encoder(tmp_path / "m", pooling=pooling)
    loaded = load(folder)
    expected = by_hand(folder, pool)
    assert loaded.dimensions == expected.shape[1]
    for text, vector in zip(TEXTS, expected, strict=True):
        assert np.abs(vector_of(loaded, text) - vector).max() < 1e-5


def test_an_encoder_without_that_layout_gives_the_mean(tmp_path):
    folder = write_tiny_encoder(tmp_path / "m")
    loaded = load(folder)
    found = np.stack([vector_of(loaded, text) for text in TEXTS])
    assert np.abs(found - by_hand(folder, lambda states: states.mean(0))).max() < 1e-5
    assert loaded.states.longest == 2 * LONGEST


def test_the_folder_says_how_long_a_text_may_be(folder):
    assert load(folder).states.longest == LONGEST


def test_positions_behind_the_padding_are_not_for_tokens(tmp_path):
    import transformers

    folder = write_tiny_encoder(tmp_path / "m")
    config = transformers.RobertaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=34, pad_token_id=1,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(folder)
    loaded = load(folder)
    assert loaded.states.longest == 32
    assert len(loaded.vectors([row([5] * 32)])) == 1
    with pytest.raises((IndexError, RuntimeError)):
        loaded.vectors([row([5] * 33)])


def test_a_shorter_vector_is_the_beginning_at_unit_length(folder):
    loaded = load(folder)
    whole, short = vector_of(loaded, "the sun"), vector_of(loaded, "the sun", 5)
    assert np.allclose(short, whole[:5] / np.linalg.norm(whole[:5]), atol=1e-6)
    for vector in (whole, short):
        assert np.linalg.norm(vector.astype(float)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("packed", [True, False])
def test_neighbours_do_not_change_a_bit(folder, packed):
    loaded = load(folder)
    assert loaded.states.packed
    if not packed:
        loaded.states.unpack()
    assert loaded.states.probe()
    rows = [
        row([(5 * at + place) % loaded.states.vocabulary for place in range(length)])
        for at, length in enumerate([1, 2, 5, FEWEST, 31, LONGEST, LONGEST] * (3 if packed else 1))
    ]
    groups = [rows] if packed else [[one] * 3 for one in rows]
    for group in groups:
        alone = [loaded.vectors([one])[0] for one in group]
        for part in (group, group[1:], group[::-1][:3]):
            found = loaded.vectors(part)
            assert all(torch.equal(one, alone[group.index(other)]) for one, other in zip(found, part, strict=True))


def test_where_rows_disturb_each_other_they_are_computed_alone(folder, monkeypatch):
    loaded = load(folder)
    calls = iter(range(10_000))
    of = loaded.states.of
    monkeypatch.setattr(loaded.states, "of", lambda rows: [one + next(calls) for one in of(rows)])
    assert not loaded.states.probe()
    assert loaded.room(None) == 0


def test_an_encoder_that_says_something_else_in_one_row_is_computed_by_lengths(folder, monkeypatch):
    monkeypatch.setattr(states, "TOLERANCE", -1.0)
    loaded = load(folder)
    assert (loaded.states.packed, loaded.room(7)) == (False, STACKED_TOKENS)
    assert input_of(loaded, "the sun").group == 4
    monkeypatch.undo()
    assert np.abs(vector_of(loaded, "the sun") - vector_of(load(folder), "the sun")).max() < 1e-5


def test_a_pass_has_bounds(folder):
    assert load(folder).room(None) == SIZES[-1]


def test_a_text_has_the_tokens_that_the_tokenizer_puts_around_it_and_tokens_have_none(folder):
    loaded = load(folder)
    assert tokens(loaded, "the sun") == [2, 4, 5, 3]
    assert tokens(loaded, (4, 5)) == [4, 5]


def test_a_control_token_in_a_text_is_text(folder):
    found = tokens(load(folder), "[SEP] the [CLS]")
    assert (found.count(3), found.count(2)) == (1, 1)
    assert len(found) == 2 + 3 + 1 + 3


def test_a_word_that_the_model_does_not_know_is_no_control_token(folder):
    assert tokens(load(folder), "quux") == [2, SPECIAL.index("[UNK]"), 3]


@pytest.mark.parametrize("ids", [(), (0, 18), (-1,)])
def test_tokens_that_the_model_does_not_know_are_rejected(folder, ids):
    with pytest.raises(PromptRejected):
        tokens(load(folder), ids)


def test_a_text_is_cut_at_its_end_where_that_is_asked(folder):
    loaded = load(folder)
    assert tokens(loaded, "the sun of the moon", truncated=4) == tokens(loaded, "the sun")
    assert tokens(loaded, "the sun", truncated=4) == tokens(loaded, "the sun")
    assert len(tokens(loaded, "sun " * 100_000, truncated=-1)) == LONGEST
    assert tokens(loaded, (4, 5, 6), truncated=2) == [4, 5]
    with pytest.raises(PromptRejected, match="2 tokens leave no room"):
        tokens(loaded, "the sun", truncated=2)


PROMPTS = {"prompts": {"query": "the river ", "document": "a ", "own": "moon "}, "default_prompt_name": "own"}


def test_the_models_own_prompts_stand_before_texts(tmp_path):
    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    (folder / "config_sentence_transformers.json").write_text(json.dumps(PROMPTS))
    loaded, plain = load(folder), load(write_tiny_encoder(tmp_path / "plain", pooling=MEAN))
    for given, whole in (
        (("sun", None), "moon sun"),
        (("sun", "query"), "the river sun"),
        ((("a debt of ", "sun"), None), "a debt of sun"),
        ((("", "sun"), None), "sun"),
    ):
        assert tokens(loaded, given[0], prompt=given[1]) == tokens(plain, whole)
    with pytest.raises(PromptRejected, match="no prompt 'else'; its own are: document, own, query"):
        tokens(loaded, "sun", prompt="else")
    with pytest.raises(PromptRejected, match="its own are: none"):
        tokens(plain, "sun", prompt="query")


def test_a_prompt_that_is_not_pooled_is_read_and_left_out_of_the_mean(tmp_path):
    folder = write_tiny_encoder(tmp_path / "m", pooling={**MEAN, "include_prompt": False})
    loaded = load(folder)
    found = input_of(loaded, ("the river of ", "sun")).data
    assert (found.skip, list(found.row.ids)) == (4, tokens(loaded, "the river of sun"))
    states = loaded.states.of([found.row])[0][4:].mean(0)
    expected = torch.nn.functional.normalize(states.double(), dim=0).float()
    assert torch.allclose(loaded.vectors([found])[0], expected, atol=1e-7)
    assert input_of(loaded, "sun").data.skip == 0


def test_documents_are_ranked_by_the_cosine_with_the_query(tmp_path):
    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": PROMPTS["prompts"]}))
    loaded = load(folder)
    body = msgspec.msgpack.encode(RerankCall(query="sun", documents=TEXTS, how=Ranking()))
    inputs = loaded.inputs(Call(bytes(16), "rerank", body))
    vectors = loaded.vectors([inputs.read(at).data for at in range(len(inputs))])
    answers = [inputs.answer(vector) for vector in vectors]
    assert answers[0] is None
    query = vector_of(loaded, "sun", prompt="query").astype(float)
    for text, answer in zip(TEXTS, answers[1:], strict=True):
        (score,) = SCORE.unpack(answer.piece)
        assert score == pytest.approx(
            float(query @ vector_of(loaded, text, prompt="document").astype(float)), abs=1e-12
        )


def test_numbers_that_are_none_are_not_given_out(folder, monkeypatch):
    loaded = load(folder)
    for broken in (float("nan"), float("inf"), 0.0):
        monkeypatch.setattr(loaded.states, "of", lambda rows, broken=broken: [torch.full((len(rows), WIDTH), broken)])
        with pytest.raises(NotFinite):
            loaded.vectors([row([1])])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("modules.json", "{", "does not list the modules"),
        ("modules.json", '[{"type": "a.Dense", "path": ""}]', "has Dense in place 0"),
        (
            "modules.json",
            '[{"type": "a.Transformer", "path": ""}, {"type": "a.LSTM", "path": "1"}]',
            "has LSTM in place 1",
        ),
        ("modules.json", '[{"type": "a.Transformer", "path": "0_Transformer"}]', "has Transformer in place 0"),
        (
            "modules.json",
            '[{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "../x"}]',
            "outside of the folder",
        ),
        ("1_Pooling/config.json", "{}", "its pooling is not computed here"),
        ("1_Pooling/config.json", '{"pooling_mode": "attention"}', "its pooling is not computed here"),
        ("1_Pooling/config.json", "[]", "does not hold an object"),
        (
            "config_sentence_transformers.json",
            '{"default_prompt_name": "query"}',
            "default prompt is none of its prompts",
        ),
    ],
)
def test_a_layout_that_is_not_computed_is_refused_by_name(tmp_path, name, content, reason):
    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    (folder / name).write_text(content)
    with pytest.raises(ModelUnusable, match=reason):
        load(folder)


def test_a_layout_beyond_the_bound_is_not_read(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    monkeypatch.setattr(layout, "MAX_LAYOUT_BYTES", 10)
    with pytest.raises(ModelUnusable, match="larger than 10 bytes"):
        load(folder)


def test_a_tensor_that_is_missing_is_not_made_up_but_for_one_that_is_not_used(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    tensors = load_file(folder / "model.safetensors")
    for name in ("pooler.dense.weight", "pooler.dense.bias"):
        del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    load(folder)
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnusable, match=r"lack 1 of .* encoder\.layer\.1\.output\.dense\.weight"):
        load(folder)


def test_the_model_is_described_as_it_is(folder, tmp_path):
    config = EngineConfig(model=str(folder), models_dir=tmp_path, device="cpu", threads=1)
    engine = load_engine(config, lambda stage, fraction: None)
    model = engine.model
    assert (model.task, model.tasks, model.dimensions) == ("embedding", ("embedding", "rerank"), WIDTH)
    assert (model.engine, model.dtype, model.reproducibility) == ("tallystick-encoder", "float32", "reproducible")
    assert (model.context_length, model.max_prompt_tokens, model.chat_template) == (LONGEST, LONGEST, None)
    assert engine.rows > 1
    statistical = load_engine(
        EngineConfig(model=str(folder), models_dir=tmp_path, device="cpu", dtype="bfloat16"), lambda *_: None
    )
    assert (statistical.model.dtype, statistical.model.reproducibility) == ("bfloat16", "statistical")


def test_a_folder_that_asks_for_code_of_its_own_is_refused(tmp_path):
    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Mine"}}))
    with pytest.raises(ModelUnusable, match="Python code of its own"):
        load(folder)


def with_dense(folder, activation="torch.nn.modules.activation.Tanh", *, bias=True):
    """Put a product behind the pooling."""
    from safetensors.torch import save_file

    torch.manual_seed(5)
    tensors = {"linear.weight": torch.randn(7, WIDTH), **({"linear.bias": torch.randn(7)} if bias else {})}
    (folder / "3_Dense").mkdir()
    (folder / "3_Dense" / "config.json").write_text(json.dumps({"activation_function": activation}))
    save_file(tensors, folder / "3_Dense" / "model.safetensors")
    modules = json.loads((folder / "modules.json").read_text())
    modules.insert(2, {"path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    return tensors


@pytest.mark.parametrize("bias", [True, False])
def test_a_product_behind_the_pooling_is_computed(tmp_path, bias):
    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    tensors = with_dense(folder, bias=bias)
    loaded = load(folder)
    assert loaded.dimensions == 7
    states = loaded.states.of([input_of(loaded, "the sun").data.row])[0].mean(0)
    product = torch.tanh(tensors["linear.weight"] @ states + tensors.get("linear.bias", torch.zeros(7)))
    expected = torch.nn.functional.normalize(product, dim=0)
    assert np.abs(vector_of(loaded, "the sun") - expected.numpy()).max() < 1e-5


@pytest.mark.parametrize("fault", ["activation", "no file", "no tensor", "no safetensors"])
def test_a_product_that_cannot_be_computed_is_refused(tmp_path, fault):
    from safetensors.torch import save_file

    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    with_dense(folder, "torch.nn.modules.activation.Mish" if fault == "activation" else "x.Identity")
    weights = folder / "3_Dense" / "model.safetensors"
    if fault == "no file":
        weights.unlink()
    elif fault == "no tensor":
        save_file({"other": torch.zeros(1)}, weights)
    elif fault == "no safetensors":
        weights.write_bytes(b"x" * 100)
    with pytest.raises(
        ModelUnusable, match="go through Mish" if fault == "activation" else "3_Dense/model.safetensors"
    ):
        load(folder)


def test_of_a_family_with_a_decoder_the_encoder_makes_vectors(tmp_path):
    import transformers

    folder = write_tiny_encoder(tmp_path / "m", pooling={**MEAN, "include_prompt": False})
    config = transformers.T5Config(vocab_size=20, d_model=WIDTH, d_kv=12, d_ff=64, num_layers=2, num_heads=4)
    torch.manual_seed(2)
    model = transformers.T5EncoderModel(config).eval()
    model.save_pretrained(folder)
    loaded = load(folder)
    assert not loaded.states.packed
    found = vector_of(loaded, ("a debt of ", "the sun"))
    ids = torch.tensor([tokens(loaded, ("a debt of ", "the sun"))])
    with torch.inference_mode():
        states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    expected = torch.nn.functional.normalize(states[4:].mean(0), dim=0)
    assert np.abs(found - expected.numpy()).max() < 1e-5
