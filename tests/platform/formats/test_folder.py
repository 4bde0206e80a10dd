"""What a folder is found to be, and why one is not taken."""

import json
import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from tallystick.manifest import hash_folder
from tallystick_platform.formats import folder as formats_folder
from tallystick_platform.formats import kinds, listing, weights
from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.folder import inspect_folder, look_into
from tallystick_platform.formats.limits import MAX_CONFIGS, MAX_JSON_BYTES, MAX_PATH_DEPTH
from tallystick_platform.formats.report import Facts, ModelFormat, Task
from tallystick_platform.formats.tasks import served_by
from tests.support.memory_peak import MIB, peak_below
from tests.support.model_files import (
    EVIL_PICKLE,
    EVIL_PICKLE_0,
    gguf_bytes,
    gzipped,
    safetensors_bytes,
    small_gguf,
    tar_bytes,
    tar_member,
    tensor,
    two_tensors,
    write_model,
    zip_bytes,
)

CARD = b"---\nlanguage: en\nlicense: apache-2.0\ntags:\n- x\n---\n# Title\nlicense: mit\n"


def unsafe(folder: Path) -> UnsafeModel:
    """The refusal, which always says what to do."""
    with pytest.raises(UnsafeModel) as caught:
        inspect_folder(folder)
    assert caught.value.remedy
    assert caught.value.remedy in str(caught.value)
    assert str(folder) not in str(caught.value)
    return caught.value


def broken(folder: Path) -> FormatError:
    """The refusal, which names the file and not where the folder lies."""
    with pytest.raises(FormatError) as caught:
        inspect_folder(folder)
    assert str(folder) not in str(caught.value)
    return caught.value


def names(folder: Path) -> tuple[str, ...]:
    """The files that belong to the model."""
    return tuple(listed.name for listed in look_into(folder).files)


def test_a_language_model_is_reported_in_full(tmp_path):
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 128}
    folder = write_model(
        tmp_path / "m", config, README__md=CARD, chat_template__jinja=b"{{ messages }}", model__sig=b"{}"
    )
    (folder / ".git").mkdir()
    (folder / ".git" / "x.pkl").write_bytes(EVIL_PICKLE)
    assert inspect_folder(folder) == Facts(
        format=ModelFormat.SAFETENSORS,
        task=Task.CHAT,
        architecture="LlamaForCausalLM",
        licence="apache-2.0",
        dtype="F32",
        parameters=6,
        context_length=128,
        size_bytes=sum((folder / name).stat().st_size for name in names(folder)),
        warnings=(),
    )
    assert names(folder) == ("README.md", "chat_template.jinja", "config.json", "model.safetensors")


def test_the_files_are_those_that_the_digest_covers(tmp_path):
    folder = write_model(tmp_path / "m", README__md=CARD, model__sig=b"{}", gitattributes=b"")
    (folder / ".gitattributes").write_text("x")
    (folder / "sub").mkdir()
    (folder / "sub" / "model.sig").write_text("x")
    assert names(folder) == tuple(entry.name for entry in hash_folder(folder).files)


@pytest.mark.parametrize(
    ("task", "served"),
    [
        (Task.EMBEDDING, ("embedding", "rerank")),
        (Task.RERANK, ("rerank", "classification")),
        (Task.CLASSIFICATION, ("classification",)),
        (Task.SEQ2SEQ, ("translation",)),
        ("other", ("other",)),
    ],
)
def test_what_a_model_is_for_tells_what_it_can_be_asked_with(task, served):
    assert served_by(task) == served


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"architectures": ["Qwen2ForCausalLM"]}, Task.COMPLETION),
        ({"architectures": ["GPT2LMHeadModel"]}, Task.COMPLETION),
        ({"architectures": ["BertModel"]}, Task.EMBEDDING),
        ({"architectures": ["BertForSequenceClassification"]}, Task.CLASSIFICATION),
        ({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "x"}}, Task.RERANK),
        ({"architectures": ["BertForTokenClassification"]}, Task.ENTITIES),
        ({"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}, Task.TRANSCRIPTION),
        ({"architectures": ["Wav2Vec2ForCTC"]}, Task.TRANSCRIPTION),
        ({"architectures": ["MarianMTModel"], "model_type": "marian"}, Task.TRANSLATION),
        ({"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}, Task.SEQ2SEQ),
        ({"architectures": ["VitsModel"], "model_type": "vits"}, Task.SPEECH),
        ({"architectures": "no list"}, Task.OTHER),
        ({"architectures": [7], "model_type": ["x"]}, Task.OTHER),
        ({}, Task.OTHER),
    ],
)
def test_the_task_follows_from_the_configuration(tmp_path, config, task):
    report = inspect_folder(write_model(tmp_path / "m", config))
    assert report.task == task
    assert any("what the model is for" in warning for warning in report.warnings) == (task is Task.OTHER)


def test_a_chat_template_in_the_tokenizer_s_configuration_counts(tmp_path):
    folder = write_model(tmp_path / "m", tokenizer_config__json=b'{"chat_template": "{{ messages }}"}')
    assert inspect_folder(folder).task == Task.CHAT


def test_a_sentence_encoder_is_known_by_its_modules(tmp_path):
    modules = json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}])
    assert inspect_folder(write_model(tmp_path / "m", modules__json=modules.encode())).task == Task.EMBEDDING


def test_a_gguf_file_is_reported(tmp_path):
    (tmp_path / "m.gguf").write_bytes(small_gguf())
    report = inspect_folder(tmp_path)
    assert (report.format, report.task, report.architecture) == (ModelFormat.GGUF, Task.COMPLETION, "llama")
    assert (report.dtype, report.parameters, report.context_length) == ("Q4_0", 68, 128)


def test_an_adapter_is_reported_by_its_kind(tmp_path):
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "org/base",
        "auto_mapping": None,
    }
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.safetensors").write_bytes(two_tensors())
    report = inspect_folder(tmp_path)
    assert (report.format, report.architecture) == (ModelFormat.ADAPTER, "LORA")


def test_a_skops_file_is_reported_and_untrusted_types_are_refused_by_name(tmp_path):
    x, y = np.array([[0.0], [1.0]]), np.array([0, 1])
    skops.io.dump(LogisticRegression().fit(x, y), tmp_path / "m.skops")
    report = inspect_folder(tmp_path)
    assert (report.format, report.task) == (ModelFormat.SKOPS, Task.CLASSICAL)
    skops.io.dump(DecisionTreeClassifier().fit(x, y), tmp_path / "m.skops")
    refusal = unsafe(tmp_path)
    assert "Tree" in refusal.reason
    assert "ONNX" in refusal.remedy


def save_onnx(folder: Path) -> None:
    """A model with its numbers beside it."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [onnx.numpy_helper.from_array(np.zeros((4, 3), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx_data", size_threshold=0)


def test_an_onnx_model_is_reported_with_the_numbers_beside_it(tmp_path):
    save_onnx(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    report = inspect_folder(tmp_path)
    assert (report.format, report.task, report.parameters) == (ModelFormat.ONNX, Task.EMBEDDING, 12)
    assert "model.onnx_data" in names(tmp_path)


@pytest.mark.parametrize(
    ("files", "task"),
    [
        ({}, Task.OTHER),
        ({"genai_config.json": "{}"}, Task.COMPLETION),
        ({"genai_config.json": "{}", "chat_template.jinja": "x"}, Task.CHAT),
    ],
)
def test_an_onnx_model_without_a_configuration_is_known_by_what_lies_beside_it(tmp_path, files, task):
    save_onnx(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert inspect_folder(tmp_path).task == task


def test_an_onnx_model_of_classical_operators_is_classical(tmp_path):
    graph = helper.make_graph([helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml")], "g", [], [])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "m.onnx")
    assert inspect_folder(tmp_path).task == Task.CLASSICAL


def test_a_pipeline_of_parts_makes_images(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(two_tensors())
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "safety_checker": [None, None],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    report = inspect_folder(tmp_path)
    assert (report.task, report.architecture, report.parameters) == (Task.IMAGE, "StableDiffusionPipeline", 6)


def test_an_adapter_without_its_weights_is_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "adapter_model.safetensors" in broken(tmp_path).reason


def test_two_skops_files_in_one_folder_are_refused(tmp_path):
    for name in "ab":
        skops.io.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / f"{name}.skops")
    assert "more than one" in broken(tmp_path).reason


@pytest.mark.parametrize(
    ("kind", "task"),
    [(None, Task.CHAT), ("CAUSAL_LM", Task.CHAT), ("SEQ_CLS", Task.CLASSIFICATION), ("own", Task.OTHER)],
)
def test_an_adapter_is_for_what_it_was_trained_for(tmp_path, kind, task):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"task_type": kind}))
    (tmp_path / "adapter_model.safetensors").write_bytes(two_tensors())
    assert inspect_folder(tmp_path).task == task


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (b"---\nlicense: other\nlicense_name: own-1.0\n---\n", "own-1.0"),
        (b"---\nlicense: other\n---\n", "other"),
        (b'---\nlicense: "mit"\n---\n', "mit"),
        (b"no matter\nlicense: mit\n", None),
        (b"---\nlicense: a\x1b[2J\n---\n", None),
    ],
)
def test_the_licence_is_the_one_of_the_card(tmp_path, card, licence):
    assert inspect_folder(write_model(tmp_path / "m", README__md=card)).licence == licence


@pytest.mark.parametrize("filler", [b" ", b"\t", b"a ", b"license: ", b"---\n", b"license:\n", b"\r"])
def test_no_card_takes_long_to_read(tmp_path, filler):
    card = b"---\nlicense: a" + filler * (300_000 // len(filler)) + b"b\x00"
    folder = write_model(tmp_path / "m", README__md=card.replace(b"\0", b""))
    began = time.monotonic()
    inspect_folder(folder)
    inspect_folder(write_model(tmp_path / "n", README__md=card.replace(b"\0", b"\n---\n")))
    assert time.monotonic() - began < 5


def test_the_number_of_indices_is_bounded(tmp_path):
    folder = write_model(tmp_path / "m")
    for number in range(MAX_CONFIGS + 1):
        (folder / f"{number}.safetensors.index.json").write_text("{}")
    assert "indices" in broken(folder).reason


def save_tensors(folder: Path, config: dict[str, object], **tensors: np.ndarray) -> Path:
    """A folder with these tensors; `__` in a name stands for a dot."""
    write_model(folder, config)
    save_file({name.replace("__", "."): values for name, values in tensors.items()}, folder / "model.safetensors")
    return folder


def test_packed_weights_are_not_counted_as_parameters(tmp_path):
    config = {"quantization_config": {"quant_method": "awq"}}
    assert inspect_folder(save_tensors(tmp_path / "m", config, a=np.ones(4, np.int32))).parameters is None


def test_a_quantisation_that_plain_weights_contradict_counts_for_nothing_and_is_said(tmp_path):
    folder = write_model(
        tmp_path / "m", {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    )
    report = inspect_folder(folder)
    assert report.parameters == 6
    assert any("does not" in text or "do not have" in text for text in report.warnings)
    packed = save_tensors(tmp_path / "p", {"quantization_config": {"quant_method": "awq"}}, a=np.ones(4, np.uint8))
    assert not any("do not have" in text for text in inspect_folder(packed).warnings)


def test_numbers_that_no_onnx_model_names_are_refused(tmp_path):
    save_onnx(tmp_path)
    (tmp_path / "other.onnx_data").write_bytes(bytes(8))
    assert unsafe(tmp_path).file == "other.onnx_data"


def test_code_is_not_excused_by_an_onnx_model_that_names_it(tmp_path):
    save_onnx(tmp_path)
    data = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(data.replace(b"model.onnx_data", b"model_code_x.py"))
    (tmp_path / "model.onnx_data").rename(tmp_path / "model_code_x.py")
    assert unsafe(tmp_path).file == "model_code_x.py"


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("pytorch_model.bin", zip_bytes(("archive/data.pkl", EVIL_PICKLE)), "safe_serialization=True"),
        ("pytorch_model.bin", EVIL_PICKLE, "safe_serialization=True"),
        ("consolidated.00.pth", EVIL_PICKLE, "safe_serialization=True"),
        ("MODEL.PT", b"anything", "safe_serialization=True"),
        ("training_args.bin", EVIL_PICKLE, "remove it"),
        ("optimizer.pt", EVIL_PICKLE, "remove it"),
        ("model.joblib", EVIL_PICKLE, "skops.io.dump"),
        ("model.pkl", EVIL_PICKLE_0, "skops.io.dump"),
        ("weights.npy", b"\x93NUMPY", "safetensors.numpy.save_file"),
        ("tf_model.h5", b"\x89HDF\r\n\x1a\n", "ONNX"),
        ("flax_model.msgpack", b"\x81", "ONNX"),
        ("modeling_own.py", b"import os", "transformers library"),
        ("libx.so", b"\x7fELF", "remove it"),
        ("weights.tar.gz", gzipped(b""), "unpack it"),
        ("vocab.txt", EVIL_PICKLE, "safe_serialization=True"),
        ("tokenizer.model", EVIL_PICKLE, "safe_serialization=True"),
        ("logo.png", EVIL_PICKLE, "safe_serialization=True"),
        ("extra.safetensors", EVIL_PICKLE, "safe_serialization=True"),
        ("extra.safetensors", zip_bytes(("archive/data.pkl", EVIL_PICKLE)), "safe_serialization=True"),
        ("extra.gguf", zip_bytes(("archive/data.pkl", EVIL_PICKLE)), "safe_serialization=True"),
        ("notes", tar_bytes(tar_member("a", EVIL_PICKLE)), "safe_serialization=True"),
        ("notes", b"text and then \0 no text", "convert"),
        ("notes.txt", "latin é".encode("latin-1"), "convert"),
        ("notes.txt", b"x" * 600_000 + b"\0", "convert"),
        ("logo.png", b"\0\1\2", "convert"),
        ("x.bin", b"\0\1\2", "safe_serialization=True"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_safe_is_refused_with_the_way_to_convert_it(tmp_path, name, content, remedy):
    folder = write_model(tmp_path / "m")
    (folder / name).write_bytes(content)
    refusal = unsafe(folder)
    assert refusal.file == name
    assert remedy in refusal.remedy


def test_what_belongs_to_a_model_s_page_is_taken(tmp_path):
    folder = write_model(
        tmp_path / "m", LICENSE=b"MIT License\n", vocab__txt="é\n".encode(), tokenizer__model=b"\x0a\x0e\x00"
    )
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    report = inspect_folder(folder)
    assert (report.licence, report.warnings) == ("mit", ())


@pytest.mark.parametrize("length", [0x0480, 0x8B1F, 0x5A4D, 0x4B50])
def test_a_header_whose_length_looks_like_pickle_or_an_archive_is_read(tmp_path, length):
    folder = write_model(tmp_path / "m")
    header = json.dumps({"a": tensor(0, 8)}).encode().ljust(length)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(header, bytes(8)))
    assert inspect_folder(folder).parameters == 2


@pytest.mark.parametrize(("name", "content"), [("model.safetensors", safetensors_bytes({})), ("m.gguf", gguf_bytes())])
def test_weights_that_hold_nothing_are_refused(tmp_path, name, content):
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    assert "none" in broken(folder).reason


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.model", "logo.png"])
def test_what_lies_beside_the_weights_is_bounded(tmp_path, monkeypatch, name):
    monkeypatch.setattr(kinds, "MAX_TEXT_BYTES", 9)
    folder = write_model(tmp_path / "m", {})
    (folder / "config.json").write_text("{}")
    (folder / name).write_bytes({"logo.png": b"\x89PNG\r\n\x1a\n"}.get(name, b"\n") + b"x" * 9)
    assert broken(folder).path == name


def test_text_may_begin_as_a_program_does(tmp_path):
    assert "vocab.txt" in names(write_model(tmp_path / "m", vocab__txt=b"MZ\nBZh\n"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling.Own"}}),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "org/repo--modeling.Own"}}}),
        ("config.json", {"trust_remote_code": True}),
        ("config.json", {"custom_pipelines": {"x": {"impl": "own.Pipe"}}}),
        ("config.json", {"attn_implementation": "org/kernel"}),
        ("config.json", {"_attn_implementation": {"text_config": "org/kernel:fn"}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tok.Own", None]}}),
        ("preprocessor_config.json", {"auto_map": {"AutoProcessor": "p.Own"}}),
        ("deep/er/config.json", {"auto_map": {"AutoModel": "modeling.Own"}}),
        ("genai_config.json", {"model": {"decoder": {"session_options": {"custom_ops_library": "/tmp/x.so"}}}}),
        ("modules.json", [{"type": "own_package.Module", "path": ""}]),
        ("modules.json", [{"type": "sentence_transformers.models.Pooling", "path": "../../other"}]),
        ("modules.json", {"type": "sentence_transformers.models.Pooling"}),
        ("model_index.json", {"_class_name": ["own", "Pipeline"]}),
        ("model_index.json", {"unet": ["own_module", "UNet"]}),
        ("model_index.json", {"unet": [["x"], "UNet"]}),
    ],
)
def test_a_configuration_that_names_code_is_refused(tmp_path, name, value):
    folder = write_model(tmp_path / "m")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value))
    assert unsafe(folder).file == name


def test_an_adapter_that_would_import_another_package_is_refused(tmp_path):
    config = {
        "peft_type": "LORA",
        "auto_mapping": {"base_model_class": "X", "parent_library": "transformers_modules.own"},
    }
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.safetensors").write_bytes(two_tensors())
    assert "imports" in unsafe(tmp_path).reason


def test_an_adapter_that_hides_a_whole_model_is_refused(tmp_path):
    folder = write_model(tmp_path / "m", adapter_config__json=b"{}", adapter_model__safetensors=two_tensors())
    assert "one by one" in broken(folder).reason


def test_links_out_of_the_folder_are_refused(tmp_path):
    (tmp_path / "secret").write_text("secret")
    for place in ("/etc/passwd", "../secret", "config.json"):
        folder = write_model(tmp_path / "m")
        (folder / "notes.txt").symlink_to(place)
        assert "symbolic link" in unsafe(folder).reason
        (folder / "notes.txt").unlink()


def test_a_linked_folder_is_refused(tmp_path):
    folder = write_model(tmp_path / "m")
    (tmp_path / "out").mkdir()
    (folder / "sub").symlink_to(tmp_path / "out")
    assert "symbolic link" in unsafe(folder).reason
    (tmp_path / "to").symlink_to(folder)
    with pytest.raises(FormatError, match="not a folder"):
        inspect_folder(tmp_path / "to")


def test_a_signature_that_is_a_link_is_refused(tmp_path):
    folder = write_model(tmp_path / "m")
    (folder / "model.sig").symlink_to("/etc/passwd")
    assert unsafe(folder).file == "model.sig"


def test_pipes_are_refused_and_not_waited_for(tmp_path):
    folder = write_model(tmp_path / "m")
    os.mkfifo(folder / "notes.txt")
    assert "pipe" in unsafe(folder).reason


@pytest.mark.parametrize("name", [b"a\nb", b"a\x1b[2J", b"a\xff", b"a\\b", b"a ", "a\u202eb".encode()])
def test_odd_names_are_refused_and_shown_plainly(tmp_path, name):
    folder = write_model(tmp_path / "m")
    (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(b"")
    refusal = unsafe(folder)
    assert str(refusal).isprintable()


def test_two_names_that_differ_in_case_alone_are_refused(tmp_path):
    folder = write_model(tmp_path / "m", notes=b"", NOTES=b"")
    assert "case" in unsafe(folder).reason


def test_a_folder_too_deep_or_with_too_many_files_is_refused(tmp_path, monkeypatch):
    folder = write_model(tmp_path / "m")
    deep = folder.joinpath(*"a" * (MAX_PATH_DEPTH + 1))
    deep.mkdir(parents=True)
    assert "deep" in unsafe(folder).reason
    monkeypatch.setattr(listing, "MAX_FILES", 1)
    assert "more than 1 files" in broken(folder).reason


def test_the_size_of_a_folder_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "MAX_FOLDER_BYTES", 10)
    assert "the limit is 10" in broken(write_model(tmp_path / "m")).reason


@pytest.mark.parametrize("size", [MAX_JSON_BYTES + 1, 100 * 1_048_576])
@pytest.mark.parametrize("filled", [True, False])
def test_a_configuration_bomb_is_refused_unread(tmp_path, size, filled):
    folder = write_model(tmp_path / "m")
    with (folder / "config.json").open("wb") as file:
        if filled:
            file.writelines(b" " * MIB for _ in range(size // MIB))
            file.write(b"{}")
        file.truncate(size)
    with peak_below(MIB):
        assert broken(folder).path == "config.json"


def test_the_number_of_configurations_is_bounded(tmp_path):
    folder = write_model(tmp_path / "m")
    for number in range(MAX_CONFIGS):
        (folder / f"{number}_config.json").write_text("{}")
    assert "configuration files" in broken(folder).reason


def sharded(folder: Path, **weight_map: str) -> Path:
    """Two shards and their index."""
    write_model(folder)
    (folder / "model.safetensors").unlink()
    (folder / "one.safetensors").write_bytes(safetensors_bytes({"a": tensor(0, 8)}, bytes(8)))
    (folder / "two.safetensors").write_bytes(safetensors_bytes({"b": tensor(0, 8)}, bytes(8)))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def test_shards_are_added_up(tmp_path):
    assert inspect_folder(sharded(tmp_path / "m", a="one.safetensors", b="two.safetensors")).parameters == 4


@pytest.mark.parametrize(
    ("weight_map", "reason"),
    [
        ({"a": "one.safetensors", "b": "three.safetensors"}, "not there"),
        ({"a": "one.safetensors", "b": "one.safetensors"}, "does not fit"),
        ({"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}, "does not fit"),
        ({"a": "../one.safetensors", "b": "two.safetensors"}, "no safetensors file of the folder"),
        ({"a": "/one.safetensors"}, "no safetensors file of the folder"),
        ({"a": 7}, "no safetensors file of the folder"),
        ({"a": "config.json"}, "no safetensors file of the folder"),
        ({}, "weight_map"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused(tmp_path, weight_map, reason):
    assert reason in broken(sharded(tmp_path / "m", **weight_map)).reason


def test_weights_without_a_configuration_and_a_configuration_without_weights_are_refused(tmp_path):
    folder = write_model(tmp_path / "m")
    (folder / "config.json").unlink()
    assert "config.json" in broken(folder).reason
    folder = write_model(tmp_path / "n")
    (folder / "model.safetensors").unlink()
    assert "no model" in broken(folder).reason


def test_the_tensors_of_all_files_count_together(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MAX_INDEX_TENSORS", 3)
    folder = write_model(tmp_path / "m")
    (folder / "sub").mkdir()
    (folder / "sub" / "x.safetensors").write_bytes(two_tensors())
    assert "more than 3 tensors" in broken(folder).reason


def test_the_number_of_onnx_files_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(formats_folder, "MAX_ONNX_FILES", 1)
    save_onnx(tmp_path)
    (tmp_path / "other.onnx").write_bytes((tmp_path / "model.onnx").read_bytes())
    assert "more than 1 ONNX files" in broken(tmp_path).reason


def test_two_gguf_files_in_one_folder_are_refused(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.gguf").write_bytes(small_gguf())
    assert "more than one" in broken(tmp_path).reason


def test_a_broken_file_that_no_loader_would_read_is_refused_too(tmp_path):
    folder = write_model(tmp_path / "m")
    (folder / "sub").mkdir()
    (folder / "sub" / "x.safetensors").write_bytes(two_tensors()[:-1])
    assert broken(folder).path == "sub/x.safetensors"


def test_other_formats_beside_the_weights_are_told(tmp_path):
    folder = write_model(tmp_path / "m", README__md=CARD)
    (folder / "x.gguf").write_bytes(small_gguf())
    assert inspect_folder(folder).warnings == ("the folder also holds gguf files, which are not served",)


def test_a_large_folder_is_read_by_its_headers_alone(tmp_path):
    folder = write_model(tmp_path / "m")
    save_file({"w": np.zeros(64 * 1_048_576, np.uint8)}, folder / "model.safetensors")
    began = time.monotonic()
    with peak_below(8 * MIB):
        assert inspect_folder(folder).size_bytes > 64 * MIB
    assert time.monotonic() - began < 5
