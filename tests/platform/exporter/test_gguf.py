"""GGUF files: read back by the library's own loader, and refused by name where they cannot be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor

from tallystick_platform.exporter.errors import ExportFailed, ExportRefused, ParityFailed
from tallystick_platform.exporter.gguf.architectures import ARCHITECTURES, read_shape
from tallystick_platform.exporter.gguf.export import export_gguf, file_name
from tallystick_platform.exporter.gguf.quantization import QUANTIZATIONS
from tallystick_platform.exporter.gguf.running import gguf_model
from tallystick_platform.exporter.gguf.vocabulary import MAX_TEMPLATE_BYTES, MAX_TOKENIZER_BYTES
from tallystick_platform.exporter.gguf.writing import paired
from tallystick_platform.exporter.run import run
from tallystick_platform.exporter.spec import PERPLEXITY_DIFFERENCE, ExportSpec
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.gguf_file import read_header
from tests.support.exports import silent, spec_for, write_source
from tests.support.tiny_model import TEMPLATE, tiny_config

QWEN = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


def spec(source: Path, **changes: Any) -> ExportSpec:
    target = source.parent / "target"
    target.mkdir(exist_ok=True)
    return spec_for(source, target, **{"format": "gguf", **changes})


def change_config(source: Path, **changes: Any) -> None:
    path = source / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_tokenizer(source: Path, **changes: Any) -> None:
    path = source / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def write_qwen(folder: Path) -> Path:
    """A Qwen2 model by the library itself, with biases, in numbers that 16 bits hold."""
    write_source(folder, **QWEN)
    config = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(5)
    model = transformers.Qwen2ForCausalLM(config).to(torch.bfloat16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((torch.randn_like(parameter) * 0.3 * 64).round() / 64 + (parameter.ndim == 1))
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder)
    return folder


def same_continuation(source: Path, path: Path, count: int = 20) -> bool:
    """Greedy tokens of both, each loaded whole by the library."""
    answers = []
    here = {"pretrained_model_name_or_path": source}
    there = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    for where in (here, there):
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        with torch.inference_mode():
            ids = torch.tensor([[5, 77, 130, 9, 42]])
            answers.append(model.generate(ids, max_new_tokens=count, do_sample=False, eos_token_id=None)[0].tolist())
    return bool(answers[0] == answers[1])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 8},
        {"head_dim": 16},
        {"architectures": ["MistralForCausalLM"], "model_type": "mistral"},
        {"rope_parameters": {"rope_theta": 1_000_000.0, "rope_type": "default"}},
    ],
)
def test_a_model_of_the_llama_family_comes_back_whole(tmp_path: Path, changes: dict[str, Any]) -> None:
    source = write_source(tmp_path / "source", **changes)
    report = export_gguf(spec(source), silent)
    assert report.passed, report.failures
    assert report.max_logit_difference is not None
    assert report.max_logit_difference < 1e-4
    assert same_continuation(source, source.parent / "target" / "tiny-F16.gguf")


def test_qwen2_comes_back_whole_with_its_biases(tmp_path: Path) -> None:
    source = write_qwen(tmp_path / "source")
    report = export_gguf(spec(source), silent)
    assert report.passed, report.failures
    assert same_continuation(source, source.parent / "target" / "tiny-F16.gguf")
    names = {tensor.name for tensor in gguf.GGUFReader(source.parent / "target" / "tiny-F16.gguf").tensors}
    assert "blk.0.attn_q.bias" in names


def test_the_streamed_file_computes_what_the_loaded_file_computes(source: Path) -> None:
    export_gguf(spec(source, quantization="Q8_0"), silent)
    path = source.parent / "target" / "tiny-Q8_0.gguf"
    whole: Any = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    )
    ids = [3, 99, 180, 4, 4]
    with torch.inference_mode():
        expected = whole(torch.tensor([ids])).logits[0].numpy()
    assert np.array_equal(gguf_model(path).logits(ids), expected)


@pytest.mark.parametrize("name", sorted(QUANTIZATIONS))
def test_numbers_come_back_in_the_type_that_was_named_and_within_a_step_of_it(source: Path, name: str) -> None:
    export_gguf(spec(source, quantization=name, parity_tokens=1), silent)
    reader = gguf.GGUFReader(source.parent / "target" / f"tiny-{name}.gguf")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    types = {name: tensor.tensor_type.name for name, tensor in tensors.items()}
    assert types["blk.0.attn_q.weight"] == QUANTIZATIONS[name].weights
    assert types["token_embd.weight"] == QUANTIZATIONS[name].embeddings
    assert types["output_norm.weight"] == "F32"
    assert reader.get_field("general.file_type").contents() == gguf.LlamaFileType[f"MOSTLY_{name}"]
    found = tensors["blk.1.ffn_down.weight"]
    numbers = gguf.quants.dequantize(found.data, found.tensor_type)
    expected = load_file(source / "model.safetensors")["model.layers.1.mlp.down_proj.weight"].float().numpy()
    steps = {"F16": 0.0, "BF16": 0.0, "Q8_0": 1 / 254, "Q4_1": 1 / 30}
    spread = np.ptp(expected.reshape(-1, 32), axis=1).max()
    assert np.abs(numbers - expected).max() <= steps[name] * spread * 1.01


def test_rows_that_are_no_whole_blocks_keep_sixteen_bits_and_a_note(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", hidden_size=48, num_attention_heads=6)
    report = export_gguf(spec(source, quantization="Q8_0"), silent)
    assert any("F16" in note for note in report.notes)
    types = {
        tensor.name: tensor.tensor_type.name
        for tensor in gguf.GGUFReader(source.parent / "target" / "tiny-Q8_0.gguf").tensors
    }
    assert types["blk.0.attn_q.weight"] == "F16"
    assert types["blk.0.ffn_down.weight"] == "Q8_0"


def test_the_file_says_what_it_is_and_where_it_comes_from(source: Path) -> None:
    asked = spec(source)
    export_gguf(asked, silent)
    reader = gguf.GGUFReader(asked.target / "tiny-F16.gguf")
    said = {name: field.contents() for name, field in reader.fields.items()}
    assert said["tallystick.source_digest"] == asked.source_digest.hex()
    assert said["general.license"] == "Apache-2.0"
    assert said["llama.attention.head_count_kv"] == 2
    assert said["tokenizer.ggml.pre"] == "gpt-2"
    assert said["tokenizer.chat_template"] == TEMPLATE
    assert said["tokenizer.ggml.add_bos_token"] is False
    header = read_header(asked.target / "tiny-F16.gguf")
    assert header.architecture == "llama"


def test_the_tokenizer_comes_back_with_its_words_and_merges(source: Path) -> None:
    asked = spec(source)
    export_gguf(asked, silent)
    loaded: Any = transformers.AutoTokenizer.from_pretrained(asked.target, gguf_file="tiny-F16.gguf")
    original = Tokenizer.from_file(str(source / "tokenizer.json"))
    for text in ("the hand in the rain", "Ünïcödé 漢字 🙂", "<|im_start|>user\nthan<|im_end|>"):
        assert loaded(text)["input_ids"] == original.encode(text).ids


def test_more_rows_than_words_are_filled_with_unused_tokens(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", vocab_size=288)
    export_gguf(spec(source), silent)
    reader = gguf.GGUFReader(source.parent / "target" / "tiny-F16.gguf")
    tokens, types = (reader.get_field(f"tokenizer.ggml.{name}").contents() for name in ("tokens", "token_type"))
    assert len(tokens) == len(set(tokens)) == 288
    assert types[-1] == gguf.TokenType.UNUSED


def test_rows_are_put_in_pairs_as_the_library_takes_them_apart() -> None:
    rows = np.arange(4 * 8 * 3, dtype=np.float32).reshape(32, 3)
    reader = LlamaTensorProcessor(config={"num_attention_heads": 4, "num_key_value_heads": 4})
    assert np.array_equal(reader._reverse_permute_weights(paired(rows, 4), 4, 4), rows)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel"),
        ({"architectures": []}, "none"),
        ({"architectures": "LlamaForCausalLM"}, "none"),
        ({"rope_parameters": {"rope_theta": 1e4, "rope_type": "llama3"}}, "llama3"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 32}, "sliding window"),
        ({**QWEN, "use_sliding_window": True, "sliding_window": 32}, "sliding window"),
        ({**QWEN, "head_dim": 16}, "heads of 8"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized already"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers"),
        ({"num_hidden_layers": -1}, "num_hidden_layers"),
        ({"rms_norm_eps": 0}, "rms_norm_eps"),
    ],
)
def test_what_gguf_cannot_say_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    config = tiny_config(hidden_size=64, num_attention_heads=8, head_dim=8)
    with pytest.raises(ExportRefused, match=named):
        read_shape({**config, **changes})


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture_of_the_table_has_a_shape(architecture: str) -> None:
    assert read_shape(tiny_config(hidden_size=64, num_attention_heads=8, architectures=[architecture])).layers == 2


@pytest.mark.parametrize("name", ["Q4_K_M", "Q2_K", "int4", "../x", ""])
def test_a_quantization_that_is_not_offered_is_refused(source: Path, name: str) -> None:
    if name:
        with pytest.raises(ExportRefused, match="there are F16"):
            export_gguf(spec(source, quantization=name), silent)
    else:
        assert file_name(spec(source, quantization=None)) == "tiny-F16.gguf"


def test_an_unknown_tensor_is_refused_by_name(source: Path) -> None:
    path = source / "model.safetensors"
    save_file({**load_file(path), "model.layers.0.mlp.router.weight": torch.zeros(4, 64)}, path)
    with pytest.raises(ExportRefused, match="router"):
        export_gguf(spec(source), silent)


def test_a_missing_tensor_is_refused_by_name(source: Path) -> None:
    path = source / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path)
    with pytest.raises(ExportRefused, match=r"blk\.1\.ffn_up\.weight"):
        export_gguf(spec(source), silent)


def test_a_layer_beyond_those_of_the_configuration_is_refused(source: Path) -> None:
    change_config(source, num_hidden_layers=1)
    with pytest.raises(ExportRefused, match=r"layers\.1"):
        export_gguf(spec(source), silent)


def test_numbers_too_large_for_sixteen_bits_are_said(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source")
    path = source / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e6
    save_file(weights, path)
    with pytest.raises(ExportFailed, match="BF16"):
        export_gguf(spec(source), silent)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": {"type": "Unigram", "vocab": []}}, "Unigram"),
        ({"model": {"type": "BPE", "byte_fallback": True, "vocab": {}, "merges": []}}, "byte fallback"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "cuts text"),
        ({"pre_tokenizer": None}, "cuts text"),
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"model": {"type": "BPE", "vocab": {"a": 0, "b": 10**9}, "merges": []}}, "beyond"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["no-space"]}}, "merge"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "ignore_merges": True}}, "merge"),
    ],
)
def test_a_tokenizer_that_readers_would_misread_is_refused(source: Path, changes: dict[str, Any], named: str) -> None:
    change_tokenizer(source, **changes)
    with pytest.raises(ExportRefused, match=named):
        export_gguf(spec(source), silent)


def test_a_chat_template_beyond_its_bound_is_refused(source: Path) -> None:
    (source / "chat_template.jinja").write_text("x" * (MAX_TEMPLATE_BYTES + 1))
    with pytest.raises(ExportRefused, match="chat template"):
        export_gguf(spec(source), silent)


def test_a_tokenizer_beyond_its_bound_is_refused(source: Path) -> None:
    with (source / "tokenizer.json").open("ab") as file:
        file.truncate(MAX_TOKENIZER_BYTES + 1)
    with pytest.raises(FormatError):
        export_gguf(spec(source), silent)


def test_a_source_without_its_tokenizer_is_refused(source: Path) -> None:
    (source / "tokenizer.json").unlink()
    with pytest.raises(ExportRefused, match=r"tokenizer\.json"):
        export_gguf(spec(source), silent)


@pytest.mark.parametrize(
    ("model", "name"),
    [("people/tiny", "tiny-F16.gguf"), ("../../x", "x-F16.gguf"), ("...", "model-F16.gguf"), ("a b/ü|", "---F16.gguf")],
)
def test_file_names_are_harmless(source: Path, model: str, name: str) -> None:
    found = file_name(spec(source, model=model))
    assert found == (name if name != "---F16.gguf" else "model-F16.gguf")


def test_a_file_that_lost_accuracy_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    from tallystick_platform.exporter.gguf import quantization

    strict = quantization.Quantization(weights="Q4_1", embeddings="Q4_1", bound={PERPLEXITY_DIFFERENCE: 1e-9})
    monkeypatch.setattr(quantization, "QUANTIZATIONS", {"Q4_1": strict})
    asked = spec(source, quantization="Q4_1")
    with pytest.raises(ParityFailed, match="perplexity_difference"):
        run(asked, silent)
    assert list(asked.target.iterdir()) == []


def test_licences_go_along_with_the_file(source: Path) -> None:
    (source / "LICENSE").write_text("the licence")
    asked = spec(source)
    result = run(asked, silent)
    names = [entry.name for entry in result.files]
    assert names == ["LICENSE", "README.md", "parity.json", "provenance.json", "tiny-F16.gguf"]
