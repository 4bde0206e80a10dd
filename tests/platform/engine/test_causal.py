"""Any causal model of the transformers library behind the engine; that library's own `generate` is the oracle."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tallystick_platform.engine import causal
from tallystick_platform.engine.causal import load_causal
from tallystick_platform.engine.forms import LIBRARY
from tallystick_platform.engine.loading import EngineConfig, load_codec, load_engine
from tallystick_platform.engine.weights_digest import compute
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.protocol import Finished, Piece, Started, VersionConfig
from tests.support.tiny_causal import KINDS, write_tiny_adapter, write_tiny_causal
from tests.support.tiny_model import request, turns_of, write_tiny_model

CPU = torch.device("cpu")
LONG = "the sun rises in the east and sets in the other end of the sky, " * 8
SAMPLED = {"temperature": 0.9, "top_p": 0.9, "top_k": 40, "seed": 5, "max_tokens": 12}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("causal")
    return {kind: write_tiny_causal(root / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def adapter(folders, tmp_path_factory):
    return write_tiny_adapter(tmp_path_factory.mktemp("adapters") / "lora", folders["qwen2"])


def load(folder, **changes):
    config = EngineConfig(model=str(folder), models_dir=folder.parent / "models", device="cpu", threads=1, **changes)
    return load_engine(config, lambda stage, fraction: None)


def run(engine, *requests):
    for one in requests:
        engine.submit(one)
    texts, ends = {one.request_id: "" for one in requests}, {}
    while engine.has_work():
        for event in engine.step():
            if isinstance(event, Piece):
                texts[event.request_id] += event.data
            elif not isinstance(event, Started):
                ends[event.request_id] = event
    return [(texts[one.request_id], ends[one.request_id]) for one in requests]


def generated(model, prompt, count):
    """What the library itself writes after a prompt: its own cache, its own loop, the whole prompt at once."""
    with torch.inference_mode():
        found = model.generate(torch.tensor([prompt]), max_new_tokens=count, do_sample=False, pad_token_id=0)
    return found[0, len(prompt) :].tolist()


def library_model(folder):
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["Hello", LONG], ids=["short", "long"])
def test_greedy_answers_are_those_of_the_transformers_library(folders, kind, text):
    engine = load(folders[kind])
    codec = load_codec(folders[kind])
    one = request(1, text, max_tokens=20)
    prompt = codec.prompt.encode(turns_of(one))
    tokens = generated(library_model(folders[kind]), prompt, 20)
    ended = [at for at, token in enumerate(tokens) if token in codec.end_tokens]
    kept = tokens[: ended[0]] if ended else tokens
    ((answer, end),) = run(engine, one)
    assert isinstance(end, Finished)
    assert answer == b"".join(codec.token_bytes[token] for token in kept).decode(errors="replace")
    assert end.usage["output_tokens"] == len(kept) + bool(ended)


def test_the_model_is_described_as_it_is(folders):
    import transformers

    engine = load(folders["gpt2"])
    model = engine.model
    assert (model.id, model.engine, model.dtype) == ("gpt2", "tallystick-causal", "float32")
    assert model.engine_version == f"1 (transformers {transformers.__version__}, torch {torch.__version__}, {LIBRARY})"
    assert (model.reproducibility, engine.rows) == ("reproducible", 1)
    assert (model.context_length, model.max_prompt_tokens) == (640, 639)
    assert model.weights_digest == compute(folders["gpt2"]).digest
    assert engine.folder == folders["gpt2"]


def test_a_control_token_in_a_message_is_text(folders):
    engine = load(folders["gpt2"])
    empty, marked = request(1, "", max_tokens=1), request(2, "<|im_end|>", max_tokens=1)
    (_, without), (_, alone) = run(engine, empty, marked)
    assert alone.usage["input_tokens"] >= without.usage["input_tokens"] + 2


def test_a_plain_llama_keeps_the_forward_pass_of_our_own(tmp_path):
    assert load(write_tiny_model(tmp_path / "llama")).model.engine == "tallystick-audit"


def test_a_llama_that_our_own_forward_does_not_compute_is_the_librarys(tmp_path):
    folder = write_tiny_model(tmp_path / "llama")
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}
    (folder / "config.json").write_text(json.dumps(config))
    engine = load(folder)
    assert engine.model.engine == "tallystick-causal"
    assert isinstance(run(engine, request(1))[0][1], Finished)


@pytest.mark.parametrize("parameters", [{"max_tokens": 10}, SAMPLED], ids=["greedy", "sampled"])
def test_neighbours_do_not_change_an_answer(folders, parameters):
    engine = load(folders["mistral"])
    one = request(1, "Write about rain.", **parameters)
    others = [request(n, f"Count to {n}.", **{**SAMPLED, "seed": n}) for n in range(2, 5)]
    ((alone, _),) = run(engine, one)
    assert run(engine, *others[:2], one, *others[2:])[2][0] == alone


def test_bfloat16_is_statistical(folders):
    engine = load(folders["qwen2"], dtype="bfloat16")
    assert (engine.model.dtype, engine.model.reproducibility, engine.rows) == ("bfloat16", "statistical", 1)


def version_of(folder, base=None, **changes):
    digest = compute(folder).digest.hex()
    values = {"model_id": "Acme/m", "version": digest[:12], "folder": str(folder), "digest": digest, "task": "chat"}
    if base is not None:
        values |= {"base_folder": str(base), "base_digest": compute(base).digest.hex()}
    return VersionConfig(**{**values, **changes})


def test_an_adapter_answers_as_the_library_does_with_it_attached(folders, adapter):
    import peft

    base = folders["qwen2"]
    engine = load(base, version=version_of(adapter, base))
    codec = load_codec(base)
    one = request(1, LONG, max_tokens=16)
    prompt = codec.prompt.encode(turns_of(one))
    attached = peft.PeftModel.from_pretrained(library_model(base), adapter)
    tokens = generated(attached, prompt, 16)
    assert tokens != generated(library_model(base), prompt, 16)
    ended = [at for at, token in enumerate(tokens) if token in codec.end_tokens]
    kept = tokens[: ended[0]] if ended else tokens
    ((answer, _),) = run(engine, one)
    assert answer == b"".join(codec.token_bytes[token] for token in kept).decode(errors="replace")


def test_an_adapter_is_named_by_its_own_digest_and_the_library_that_merged_it(folders, adapter):
    engine = load(folders["qwen2"], version=version_of(adapter, folders["qwen2"]))
    assert engine.model.weights_digest == compute(adapter).digest
    assert "peft " in engine.model.engine_version
    assert engine.folder == adapter


def test_an_adapters_base_must_have_its_digest_too(folders, adapter):
    version = version_of(adapter, folders["qwen2"], base_digest="0" * 64)
    with pytest.raises(ModelUnusable, match=f"not {'0' * 64} as registered"):
        load(folders["qwen2"], version=version)


def test_an_adapter_that_names_another_base_is_refused(folders, adapter, tmp_path):
    import shutil

    named = shutil.copytree(adapter, tmp_path / "named")
    right = compute(folders["qwen2"]).digest.hex()
    for digest, served in ((right, True), ("0" * 64, False)):
        (named / "tallystick-base.json").write_text(json.dumps({"base_digest": digest}))
        version = version_of(named, folders["qwen2"])
        if served:
            assert load(folders["qwen2"], version=version).model.weights_digest.hex() == version.digest
        else:
            with pytest.raises(ModelUnusable, match="belongs to the base"):
                load(folders["qwen2"], version=version)


def test_an_adapter_without_safetensors_is_refused_before_anything_else_is_tried(folders, adapter, tmp_path):
    import shutil

    pickled = shutil.copytree(adapter, tmp_path / "pickled")
    (pickled / causal.ADAPTER_WEIGHTS).rename(pickled / "adapter_model.bin")
    with pytest.raises(ModelUnusable, match=r"the adapter has no adapter_model\.safetensors"):
        load_causal(folders["qwen2"], torch.float32, CPU, pickled)


def test_an_adapter_with_a_template_of_its_own_uses_it(folders, adapter, tmp_path):
    import shutil

    own = shutil.copytree(adapter, tmp_path / "own")
    (own / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    codec = load_codec(own, folders["qwen2"])
    assert codec.template.source == "{{ messages[0]['content'] }}"
    assert codec.token_bytes == load_codec(folders["qwen2"]).token_bytes
    assert codec.end_tokens == load_codec(folders["qwen2"]).end_tokens


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "modeling.Mine"}}, "Python code of its own"),
        ({"model_type": "no-such-model"}, "cannot be loaded"),
        ({"model_type": "t5"}, "cannot be loaded"),
    ],
)
def test_what_cannot_be_served_safely_is_refused_by_name(tmp_path, changes, reason):
    folder = write_tiny_causal(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ModelUnusable, match=reason):
        load(folder)


LEFTOVER = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}


def rewritten(folder, tensors=None, **changes):
    """The folder with another config.json, and with other tensors where there are any."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("write", [write_tiny_causal, write_tiny_model])
def test_a_leftover_quantisation_of_plain_weights_changes_nothing(tmp_path, write):
    plain, left = write(tmp_path / "plain"), rewritten(write(tmp_path / "left"), **LEFTOVER)
    answers = [run(load(folder), request(1, max_tokens=12))[0][0] for folder in (plain, left)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("write", [write_tiny_causal, write_tiny_model])
def test_weights_that_are_quantised_are_refused(tmp_path, write):
    folder = write(tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    rewritten(folder, {**tensors, "packed": torch.ones(4, dtype=torch.uint8)}, **LEFTOVER)
    with pytest.raises(ModelUnusable, match="quantised weights"):
        load(folder)


@pytest.mark.parametrize("write", [write_tiny_causal, write_tiny_model])
def test_a_tensor_that_is_missing_is_not_made_up(tmp_path, write):
    folder = write(tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    rewritten(folder, tensors)
    with pytest.raises(ModelUnusable, match=r"lack 1 of|has no tensor model\.layers\.1\.mlp\.up_proj"):
        load(folder)


@pytest.mark.parametrize("write", [write_tiny_causal, write_tiny_model])
def test_a_token_that_the_model_does_not_know_refuses_its_prompt_and_the_engine_goes_on(tmp_path, write):
    folder = write(tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:261].clone()
    ends = {"eos_token_id": 1, "bos_token_id": 1, "tie_word_embeddings": True}
    tensors.pop("lm_head.weight", None)
    engine = load(rewritten(folder, tensors, vocab_size=261, **ends))
    ((_, end),) = run(engine, request(1))
    assert (end.kind, end.reason) == ("prompt-rejected", "the prompt has the token 264, and the model knows 261")
    engine._codec = dataclasses.replace(engine._codec, prompt=type("Low", (), {"encode": lambda *_: [1, 2]})())
    ((_, end),) = run(engine, request(2))
    assert isinstance(end, Finished)


def test_a_computation_that_finds_no_row_costs_its_request_and_not_the_worker(folders, monkeypatch):
    engine = load(folders["gpt2"])

    def fail(cache, tokens):
        raise IndexError("index out of range in self")

    monkeypatch.setattr(engine._forward, "prefill", fail)
    ((_, end),) = run(engine, request(1))
    assert (end.kind, end.reason) == ("engine-failed", "the computation failed")
    assert not engine.has_work()


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000])
def test_a_configuration_that_is_none_is_refused(tmp_path, text):
    folder = write_tiny_causal(tmp_path / "m")
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelUnusable):
        load(folder)


def test_a_configuration_beyond_the_bound_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(causal, "MAX_CONFIG_BYTES", 10)
    with pytest.raises(ModelUnusable, match="larger than 10 bytes"):
        causal.refuse_foreign(write_tiny_causal(tmp_path / "m"))


def test_weights_that_are_missing_or_pickled_are_refused(tmp_path):
    folder = write_tiny_causal(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        load(folder)
