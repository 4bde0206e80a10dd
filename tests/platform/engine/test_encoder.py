"""Vectors of the encoder; the transformers library's own outputs, padded and pooled by hand, are the oracle."""

import json
import math

import numpy as np
import pytest
import torch

from tallystick_platform.engine import encoder
from tallystick_platform.engine.encoder import FEWEST_TOKENS, PASS_TOKENS, load_encoder
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.prompt import TextEncoder
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.errors import ModelUnusable, PromptRejected
from tests.support.tiny_encoder import LONGEST, SPECIAL, WIDTH, encoder_tokenizer, write_tiny_encoder

CPU = torch.device("cpu")
MEAN = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
TEXTS = ("the sun", "a stick of the miller", "moon", "the river of the moon of the sun", "debts")


def load(folder):
    return load_encoder(folder, TextEncoder(encoder_tokenizer()), torch.float32, CPU)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny", pooling=MEAN)


def numbers(vector):
    return np.frombuffer(vector, "<f4")


def vector_of(loaded, one, dimensions=None):
    (vector,) = loaded.vectors([loaded.tokens(one)], [dimensions or loaded.dimensions])
    return vector


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
        assert np.abs(numbers(vector_of(loaded, text)) - vector).max() < 1e-5


def test_an_encoder_without_that_layout_gives_the_mean(tmp_path):
    folder = write_tiny_encoder(tmp_path / "m")
    loaded = load(folder)
    found = np.stack([numbers(vector_of(loaded, text)) for text in TEXTS])
    assert np.abs(found - by_hand(folder, lambda states: states.mean(0))).max() < 1e-5
    assert loaded.longest == 2 * LONGEST


def test_the_folder_says_how_long_a_text_may_be(folder):
    assert load(folder).longest == LONGEST


def test_positions_behind_the_padding_are_not_for_tokens(tmp_path):
    import transformers

    folder = write_tiny_encoder(tmp_path / "m")
    config = transformers.RobertaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=34, pad_token_id=1,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(folder)
    loaded = load(folder)
    assert loaded.longest == 32
    assert len(loaded.pooled([[5] * 32])) == 1
    with pytest.raises((IndexError, RuntimeError)):
        loaded.pooled([[5] * 33])


def test_a_shorter_vector_is_the_beginning_at_unit_length(folder):
    loaded = load(folder)
    whole, short = numbers(vector_of(loaded, "the sun")), numbers(vector_of(loaded, "the sun", 5))
    assert np.allclose(short, whole[:5] / np.linalg.norm(whole[:5]), atol=1e-6)
    for vector in (whole, short):
        assert np.linalg.norm(vector.astype(float)) == pytest.approx(1, abs=1e-6)


def test_neighbours_do_not_change_a_bit(folder):
    loaded = load(folder)
    assert loaded.probe()
    for length in (1, 2, 5, FEWEST_TOKENS, 31, LONGEST):
        rows = [[(5 * row + at) % loaded.vocabulary for at in range(length)] for row in range(max(1, loaded.room(length) // length))]
        together = loaded.vectors(rows, [WIDTH] * len(rows))
        assert together == [loaded.vectors([row], [WIDTH])[0] for row in rows]


def test_where_rows_disturb_each_other_they_are_computed_alone(folder, monkeypatch):
    loaded = load(folder)
    calls = iter(range(10_000))
    pooled = loaded.pooled
    monkeypatch.setattr(loaded, "pooled", lambda rows: pooled(rows) + next(calls))
    assert not loaded.probe()
    assert loaded.room(1) == loaded.room(LONGEST) == 0


def test_a_pass_has_bounds(folder):
    assert load(folder).room(1) == PASS_TOKENS


def test_a_text_has_the_tokens_that_the_tokenizer_puts_around_it_and_tokens_have_none(folder):
    loaded = load(folder)
    assert loaded.tokens("the sun") == [2, 4, 5, 3]
    assert loaded.tokens((4, 5)) == [4, 5]


def test_a_control_token_in_a_text_is_text(folder):
    tokens = load(folder).tokens("[SEP] the [CLS]")
    assert (tokens.count(3), tokens.count(2)) == (1, 1)
    assert len(tokens) == 2 + 3 + 1 + 3


def test_a_word_that_the_model_does_not_know_is_no_control_token(folder):
    assert load(folder).tokens("quux") == [2, SPECIAL.index("[UNK]"), 3]


@pytest.mark.parametrize("tokens", [(), (0, 18), (-1,)])
def test_tokens_that_the_model_does_not_know_are_rejected(folder, tokens):
    with pytest.raises(PromptRejected):
        load(folder).tokens(tokens)


def test_numbers_that_are_none_are_not_given_out(folder, monkeypatch):
    loaded = load(folder)
    for broken in (float("nan"), float("inf"), 0.0):
        monkeypatch.setattr(loaded, "pooled", lambda rows, broken=broken: torch.full((len(rows), WIDTH), broken))
        with pytest.raises(NotFinite):
            loaded.vectors([[1]], [WIDTH])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("modules.json", "{", "does not list the modules"),
        ("modules.json", '[{"type": "a.Dense", "path": ""}]', "has Dense in place 0"),
        ("modules.json", '[{"type": "a.Transformer", "path": "0_Transformer"}]', "has Transformer in place 0"),
        (
            "modules.json",
            '[{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "../x"}]',
            "outside of the folder",
        ),
        ("1_Pooling/config.json", "{}", "its pooling is not computed here"),
        ("1_Pooling/config.json", '{"pooling_mode": "attention"}', "its pooling is not computed here"),
        ("1_Pooling/config.json", "[]", "does not hold an object"),
        ("config_sentence_transformers.json", '{"default_prompt_name": "query"}', "prompt of its own"),
    ],
)
def test_a_layout_that_is_not_computed_is_refused_by_name(tmp_path, name, content, reason):
    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    (folder / name).write_text(content)
    with pytest.raises(ModelUnusable, match=reason):
        load(folder)


def test_a_layout_beyond_the_bound_is_not_read(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path / "m", pooling=MEAN)
    monkeypatch.setattr(encoder, "MAX_LAYOUT_BYTES", 10)
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
    assert (model.task, model.tasks, model.dimensions) == ("embedding", ("embedding",), WIDTH)
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
