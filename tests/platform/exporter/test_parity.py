"""The measures, against their definitions, and the streamed model, against the same model in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.exporter.parity import (
    MAX_TEXT_TOKENS,
    Logits,
    Measured,
    ParityInput,
    compared,
    follow,
    largest_difference,
    leading_equal,
    measure,
    parity_input,
    perplexity,
)
from tallystick_platform.exporter.streamed import folder_model
from tests.support.exports import write_source

GIVEN = ParityInput(prompt=(1, 2, 3), text=(4, 5, 6, 7))


class Counting:
    """Always says the number after the last one, in a vocabulary of ten; `slip` is where it does not."""

    name = "counting"

    def __init__(self, slip: int | None = None) -> None:
        self.slip = slip

    def logits(self, ids: Sequence[int]) -> Logits:
        found = np.zeros((len(ids), 10), np.float32)
        for row, token in zip(found, ids, strict=True):
            row[(token + (2 if token == self.slip else 1)) % 10] = 5.0
        return found

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        said = list(ids)
        for _ in range(count):
            said.append(int(self.logits(said)[-1].argmax()))
        return said[len(ids) :]


def test_perplexity_is_the_exponential_of_the_mean_cross_entropy() -> None:
    logits = np.random.default_rng(1).normal(0, 30, (9, 50)).astype(np.float32)
    ids = [3, 14, 15, 9, 26, 5, 35, 8, 49]
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits[:-1]).double(), torch.tensor(ids[1:])).exp()
    assert perplexity(logits, ids) == pytest.approx(float(expected))


def test_perplexity_of_the_impossible_is_a_large_number() -> None:
    logits = np.full((2, 3), -1e30, np.float32)
    logits[:, 0] = 1e30
    assert perplexity(logits, [0, 1]) > 1e300


def test_agreement_counts_until_the_first_difference() -> None:
    assert leading_equal([1, 2, 3, 4], [1, 2, 9, 4]) == 2
    assert leading_equal([1, 2], [1, 2]) == 2
    assert leading_equal([], []) == 0
    assert leading_equal([1, 2, 3], [1, 2]) == 2


def test_the_largest_difference_is_absolute_and_needs_one_shape() -> None:
    left, right = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
    right[1, 2] = -0.5
    assert largest_difference(left, right) == 0.5
    assert largest_difference(left, right[:, :2]) is None
    right[0, 0] = np.nan
    assert not largest_difference(left, right) <= 1e9  # type: ignore[operator]


@pytest.mark.parametrize("row", [0, 1, 2])
def test_what_is_not_a_number_is_seen_in_any_row(row: int) -> None:
    found = np.zeros((3, 2), dtype=np.float32)
    found[row, 1] = np.nan
    difference = largest_difference(np.zeros((3, 2), dtype=np.float32), found)
    assert difference is not None
    assert np.isnan(difference)


def test_following_counts_what_going_on_alone_would_count() -> None:
    reference = measure(Counting(), GIVEN, 8)
    for slip in (None, 3, 5, 9):
        alone, followed = measure(Counting(slip), GIVEN, 8), follow(Counting(slip), GIVEN, reference.greedy)
        assert leading_equal(reference.greedy, followed.greedy) == leading_equal(reference.greedy, alone.greedy)


def test_a_report_says_what_was_compared() -> None:
    reference, candidate = measure(Counting(), GIVEN, 8), measure(Counting(slip=6), GIVEN, 8)
    report = compared(reference, candidate, GIVEN, {"greedy_agreement": 1.0}, ("a note",))
    assert (report.greedy_tokens, report.greedy_equal, report.max_logit_difference) == (8, 3, 5.0)
    assert report.perplexity is not None
    assert report.perplexity_reference is not None
    assert not report.passed
    assert report.notes == ("a note",)


def test_another_vocabulary_passes_no_bound_on_logits() -> None:
    reference = Measured(name="a", text_logits=np.zeros((4, 10), np.float32), greedy=())
    candidate = Measured(name="b", text_logits=np.zeros((4, 11), np.float32), greedy=())
    assert not compared(reference, candidate, GIVEN, {"max_logit_difference": 1e9}).passed


def test_input_without_a_tokenizer_walks_over_the_vocabulary(tmp_path: Path) -> None:
    given = parity_input(tmp_path, vocabulary=50, context=100, tokens=10)
    assert len(given.text) == 100
    assert max(given.text) < 50
    assert len(parity_input(tmp_path, vocabulary=50, context=10_000, tokens=10).text) < MAX_TEXT_TOKENS


@pytest.mark.parametrize(("vocabulary", "context"), [(50, 15), (1, 1)])
def test_a_model_too_small_to_compare_is_said(tmp_path: Path, vocabulary: int, context: int) -> None:
    with pytest.raises(ExportFailed, match="too few"):
        parity_input(tmp_path, vocabulary, context, tokens=10)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_streamed_model_computes_what_the_library_computes(tmp_path: Path, tied: bool, dtype: torch.dtype) -> None:
    source = write_source(tmp_path / "source", dtype, tie_word_embeddings=tied)
    streamed = folder_model(source, "the source")
    whole = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    ids = list(range(1, 60, 3))
    with torch.inference_mode():
        expected = whole(torch.tensor([ids])).logits[0].numpy()
        continued = whole.generate(torch.tensor([ids]), max_new_tokens=9, do_sample=False, eos_token_id=None)
    assert np.array_equal(streamed.logits(ids), expected)
    assert streamed.greedy(ids, 9) == continued[0, len(ids) :].tolist()


def test_another_architecture_is_streamed_too(tmp_path: Path) -> None:
    config = transformers.GPT2Config(vocab_size=64, n_positions=64, n_embd=32, n_layer=2, n_head=4)
    torch.manual_seed(3)
    whole = transformers.GPT2LMHeadModel(config).eval()
    whole.save_pretrained(tmp_path)
    ids = [1, 5, 9, 33]
    with torch.inference_mode():
        expected = whole(torch.tensor([ids])).logits[0].numpy()
    assert np.allclose(folder_model(tmp_path, "x").logits(ids), expected, atol=1e-6)


def test_an_architecture_whose_files_name_tensors_otherwise_is_loaded_whole(tmp_path: Path) -> None:
    config = transformers.MixtralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(3)
    whole = transformers.MixtralForCausalLM(config).eval()
    whole.save_pretrained(tmp_path)
    ids = [1, 5, 9, 33]
    with torch.inference_mode():
        expected = whole(torch.tensor([ids])).logits[0].numpy()
    found = folder_model(tmp_path, "x")
    assert "loaded whole" in found.name
    assert np.allclose(found.logits(ids), expected, atol=1e-6)


def test_a_source_without_one_of_its_tensors_is_refused(tmp_path: Path) -> None:
    source = write_source(tmp_path, num_hidden_layers=1)
    config = source / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers": 2'))
    with pytest.raises(ExportRefused, match="hold no tensor"):
        folder_model(source, "x")


def test_a_tensor_of_another_shape_stops_the_run(tmp_path: Path) -> None:
    source = write_source(tmp_path)
    config = source / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 96', '"intermediate_size": 64'))
    with pytest.raises(ExportFailed, match="has the shape"):
        folder_model(source, "x").logits([1, 2])
