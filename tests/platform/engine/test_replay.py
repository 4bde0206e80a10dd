import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tallystick.encoding import decode_record, encode_record
from tallystick.record import Gpu, Model, ProofOfCompute, Response, State
from tallystick.tasks import read
from tallystick.verify.model_checks import ReplayRefused
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.replay import replay
from tallystick_platform.engine.rerun import asked_of
from tallystick_platform.engine.weights_digest import compute
from tallystick_platform.protocol import Call, Finished, Piece, VersionConfig
from tallystick_platform.tasks import TASKS
from tallystick_platform.tasks.drawing import decode_call
from tallystick_platform.tasks.translation import DEFAULTS
from tests.support.real_model import real_model
from tests.support.synthetic_log import synthetic_record
from tests.support.tiny_causal import write_tiny_adapter, write_tiny_causal
from tests.support.tiny_encoder import write_tiny_encoder, write_tiny_headed
from tests.support.tiny_model import embedding, request, write_tiny_model
from tests.support.tiny_seq2seq import write_tiny_t5

SAMPLED = {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "max_tokens": 24, "seed": 7, "stop": ("zz",)}
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("replay") / "tiny")


def _quiet(stage, fraction):
    pass


def serve(folder, others=0, version=None, prompt=None, parameters=SAMPLED, task="chat"):
    """The record of a request that a worker answered, beside other requests."""
    with TemporaryDirectory() as scratch:
        config = EngineConfig(model=str(folder), models_dir=Path(scratch), version=version)
        engine = load_engine(config, _quiet)
    prompt = {"messages": MESSAGES} if prompt is None else prompt
    given, used = TASKS[task].again(prompt, parameters)
    asked = Call((1).to_bytes(16), task, TASKS[task].call(given, used))
    for number in range(others):
        text = "Somebody else " * number
        engine.submit(embedding(2 + number, (text,), 3) if task == "embedding" else request(2 + number, text=text))
    engine.submit(asked)
    gathered, events = TASKS[task].gather(given, used), []
    while engine.has_work():
        events += [event for event in engine.step() if event.request_id == asked.request_id]
    for event in events:
        if isinstance(event, Piece):
            gathered.add(event)
    (end,) = [event for event in events if isinstance(event, Finished)]
    model, gpu = engine.model, engine.gpu
    return replace(
        synthetic_record(1),
        task=task,
        model=Model(
            **{name: getattr(model, name) for name in ("id", "version", "weights_digest", "engine", "engine_version")},
            **{name: getattr(model, name) for name in ("dtype", "quantisation", "device")},
        ),
        gpu=Gpu(kind=gpu.kind, name=gpu.name, uuid=None, count=gpu.count, memory_bytes=gpu.memory_bytes, driver=None),
        parameters=parameters,
        prompt=prompt,
        response=Response(outputs=gathered.outputs(end.finish_reasons)),
        usage=end.usage,
        proof_of_compute=ProofOfCompute(class_=model.reproducibility, toploc=None),
    )


@pytest.fixture(scope="module")
def record(folder):
    return serve(folder, others=3)


def test_a_sampled_answer_that_was_computed_beside_others_comes_out_again(folder, record):
    found = replay(folder, record)
    assert record.usage["output_tokens"] > 1
    assert (found.outputs, found.usage) == (record.response.outputs, record.usage)


@pytest.mark.parametrize("prompt", ["the sun and", [5, 9, 7], [[5, 9, 7]]])
def test_a_completion_comes_out_again(folder, prompt):
    record = serve(folder, others=2, prompt={"prompt": prompt}, task="completion")
    found = replay(folder, record)
    assert (found.outputs, found.usage) == (record.response.outputs, record.usage)
    assert [output.kind for output in found.outputs] == ["text"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"n": 3},
        {"presence_penalty": 0.5, "frequency_penalty": 1, "repetition_penalty": 1.3, "min_p": 0.02, "min_tokens": 4},
        {"logprobs": 2, "echo": True, "n": 2},
        {"stop_token_ids": [11], "ignore_eos": True},
        {"guided_regex": "[a-z]{3} [0-9]+"},
        {"guided_choice": ["left", "right"], "logprobs": 0},
    ],
    ids="-".join,
)
def test_every_parameter_of_drawing_comes_out_again(folder, parameters):
    record = serve(folder, 2, prompt={"prompt": "the sun and"}, parameters=SAMPLED | parameters, task="completion")
    found = replay(folder, record)
    assert (found.outputs, found.usage) == (record.response.outputs, record.usage)
    assert len(found.outputs) == parameters.get("n", 1)
    assert (found.outputs[0].logprobs is not None) == ("logprobs" in parameters)


def test_a_schema_is_followed_in_the_order_in_which_it_was_sent(folder):
    """A record keeps no order of an object's members, and a request's body does."""
    first, second = {"type": "boolean"}, {"type": "null"}
    schema = {"type": "object", "properties": {"z": first, "a": second}, "required": ["z", "a"]}
    body = {"model": "tiny", "prompt": "say", "guided_json": schema | {"additionalProperties": False}}
    reading = read("completion/openai/1", "POST", "/v1/completions", None, json.dumps(body).encode())
    record = serve(folder, prompt=reading.prompt, parameters=SAMPLED | {"max_tokens": 60}, task="completion")
    (said,) = record.response.outputs
    assert list(json.loads(said.content)) == ["z", "a"]
    request = replace(record.request, reader="completion/openai/1", body=json.dumps(body).encode())
    record = decode_record(encode_record(replace(record, request=request)))
    assert list(record.prompt["guided_json"]["properties"]) == ["a", "z"]
    assert replay(folder, record).outputs == record.response.outputs


def test_vectors_come_out_again_to_the_last_bit(tmp_path):
    folder = write_tiny_encoder(tmp_path / "encoder", pooling={"pooling_mode_mean_tokens": True})
    prompt = {"input": ["the sun", "moon", "the moon"]}
    record = serve(folder, others=3, prompt=prompt, parameters={"dimensions": 9}, task="embedding")
    found = replay(folder, record)
    assert (found.outputs, found.usage) == (record.response.outputs, record.usage)
    assert [len(output.content) for output in found.outputs] == [36] * 3
    assert found.engine == record.model.engine == "tallystick-encoder"


TEXTS = ["the sun", "moon", "the moon"]
ASKED_OF_TEXTS = {
    "rerank": ({"query": "the moon", "documents": TEXTS}, {"top_n": 2, "raw_scores": True, "user": "u"}),
    "classification": ({"inputs": [["the sun", "moon"], "river"]}, {"top_k": 2, "truncate_prompt_tokens": -1}),
    "entities": ({"inputs": TEXTS}, {"aggregation_strategy": "max"}),
}


@pytest.mark.parametrize(
    ("head", "labels", "task"),
    [
        ("SequenceClassification", ("fit",), "rerank"),
        ("SequenceClassification", ("good", "bad", "odd"), "classification"),
        ("TokenClassification", ("O", "B-PER", "I-PER"), "entities"),
    ],
)
def test_labels_scores_and_entities_come_out_again_to_the_last_bit(tmp_path, head, labels, task):
    folder = write_tiny_headed(tmp_path / "m", head, labels)
    prompt, parameters = ASKED_OF_TEXTS[task]
    record = serve(folder, prompt=prompt, parameters=parameters, task=task)
    found = replay(folder, record)
    assert record.response.outputs
    assert (found.outputs, found.usage) == (record.response.outputs, record.usage)


def test_documents_that_were_ranked_by_their_vectors_come_out_again(tmp_path):
    folder = write_tiny_encoder(tmp_path / "encoder", pooling={"pooling_mode_mean_tokens": True})
    prompt, parameters = ASKED_OF_TEXTS["rerank"]
    record = serve(folder, prompt=prompt, parameters=parameters, task="rerank")
    found = replay(folder, record)
    assert found.outputs == record.response.outputs
    assert found.outputs[0].content[0]["index"] == 2


def test_a_translation_comes_out_again(tmp_path):
    folder = write_tiny_t5(tmp_path / "m")
    parameters = {**DEFAULTS, "max_tokens": 9, "num_beams": 3, "source_language": "en", "target_language": "de"}
    record = serve(folder, prompt={"text": TEXTS}, parameters=parameters, task="translation")
    found = replay(folder, record)
    assert (found.outputs, found.usage) == (record.response.outputs, record.usage)
    assert found.engine == "tallystick-seq2seq"


def test_the_replay_names_the_means_that_the_record_names(folder, record):
    found = replay(folder, record)
    names = ("engine", "engine_version", "dtype", "device")
    assert [getattr(found, name) for name in names] == [getattr(record.model, name) for name in names]
    assert (found.gpu.kind, found.gpu.name, found.gpu.count) == (record.gpu.kind, record.gpu.name, record.gpu.count)


@pytest.mark.model
def test_the_packaged_model_gives_its_answer_again():
    record = serve(real_model(), others=1, parameters=SAMPLED | {"max_tokens": 12})
    found = replay(real_model(), record)
    assert (found.outputs, found.usage) == (record.response.outputs, record.usage)


def test_another_seed_gives_another_answer(folder, record):
    other = replace(record, parameters=dict(record.parameters) | {"seed": 8})
    assert replay(folder, other).outputs != record.response.outputs


def test_the_request_is_the_one_that_the_engine_had(record):
    task, given, used = asked_of(replace(record, parameters=dict(record.parameters) | {"user": "somebody"}))
    draw = {**SAMPLED, "stop": tuple(SAMPLED["stop"])}
    assert decode_call(task.call(given, used)) == decode_call(request(1, **draw).body)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task": "export"}, "the task is export, and this release runs chat, completion, embedding, "),
        ({"parameters": SAMPLED | {"use_beam_search": True}}, "the record's use_beam_search "),
        ({"parameters": {name: value for name, value in SAMPLED.items() if name != "seed"}}, "record's parameters"),
        ({"parameters": SAMPLED | {"top_k": True}}, "record's parameters"),
        ({"parameters": SAMPLED | {"stop": (7,)}}, "record's parameters"),
        ({"parameters": SAMPLED | {"n": "2"}}, "the record's parameters"),
        ({"prompt": {"messages": MESSAGES, "logit_bias": {"x": 1}}}, "the record's logit_bias"),
        ({"prompt": {}}, "the record's messages is not a list"),
        ({"prompt": None}, "the record's prompt is not in the record"),
        ({"prompt": {"messages": MESSAGES, "tools": [{"type": "function"}]}}, "the record's tools"),
        ({"prompt": {"messages": [{"role": "user", "content": None}]}}, r"the record's messages\[0\]\.content"),
        ({"task": "embedding", "prompt": {"input": ["a"]}}, "the record's temperature"),
    ],
)
def test_what_cannot_be_asked_again_is_refused_by_name(changes, reason):
    record = replace(synthetic_record(1), **({"parameters": SAMPLED, "prompt": {"messages": MESSAGES}} | changes))
    with pytest.raises(ReplayRefused, match=reason):
        asked_of(record)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"engine": "constant"}, "the engine was constant"),
        ({"dtype": "int3"}, "int3 on cpu"),
        ({"device": "tpu"}, "float32 on tpu"),
        ({"device": "cuda"}, "a CUDA device was asked for"),
        ({"weights_digest": bytes(32)}, "they were changed since"),
    ],
)
def test_a_model_that_cannot_be_run_as_the_record_says_is_refused(folder, record, changes, reason):
    import torch

    if changes.get("device") == "cuda" and torch.cuda.is_available():
        changes, reason = {"device": "tpu"}, "tpu"
    with pytest.raises(ReplayRefused, match=reason):
        replay(folder, replace(record, model=replace(record.model, **changes)))


def test_a_record_without_model_is_refused(folder, record):
    with pytest.raises(ReplayRefused, match="was not named"):
        replay(folder, replace(record, model=None))


def test_a_prompt_that_the_engine_refuses_proves_nothing(folder, record):
    long = {"messages": [{"role": "user", "content": "x" * 2_000}]}
    with pytest.raises(ReplayRefused, match="prompt-too-long"):
        replay(folder, replace(record, prompt=long))


def test_a_folder_that_is_no_model_is_refused(record, tmp_path):
    with pytest.raises(ReplayRefused):
        replay(tmp_path, record)


def test_a_model_of_another_architecture_is_run_again_by_the_engine_that_ran_it(tmp_path):
    folder = write_tiny_causal(tmp_path / "qwen")
    record = serve(folder)
    found = replay(folder, record)
    assert (found.engine, found.engine_version) == (record.model.engine, record.model.engine_version)
    assert found.engine == "tallystick-causal"
    assert (found.outputs, found.usage) == (record.response.outputs, record.usage)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A base, an adapter on it, and the record of an answer by both."""
    place = tmp_path_factory.mktemp("adapter")
    base = write_tiny_causal(place / "base")
    folder = write_tiny_adapter(place / "adapter", base)
    digest = compute(base).digest.hex()
    (folder / "tallystick-base.json").write_text(json.dumps({"base_digest": digest}))
    version = VersionConfig(
        model_id="tuned",
        version="1",
        folder=str(folder),
        digest=compute(folder).digest.hex(),
        task="chat",
        base_folder=str(base),
        base_digest=digest,
    )
    return base, folder, serve(folder, version=version)


def test_an_adapter_is_run_again_on_its_base(adapter):
    base, folder, record = adapter
    assert replay(folder, record, base).outputs == record.response.outputs


def test_an_adapter_without_its_base_is_refused_with_the_option_to_give(adapter):
    _, folder, record = adapter
    with pytest.raises(ReplayRefused, match="--base DIR"):
        replay(folder, record)


def test_an_adapter_on_another_base_is_refused(adapter, tmp_path):
    _, folder, record = adapter
    other = write_tiny_causal(tmp_path / "other", seed=9)
    with pytest.raises(ReplayRefused, match="digest"):
        replay(folder, record, other)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", " " * 100_000])
def test_an_adapter_whose_files_name_no_base_is_refused(record, tmp_path, content):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "tallystick-base.json").write_text(content)
    with pytest.raises(ReplayRefused, match=r"tallystick-base\.json"):
        replay(tmp_path, record, tmp_path)


def test_a_cancelled_record_is_run_to_its_end(folder, record):
    assert replay(folder, replace(record, state=State.CANCELLED)).usage == record.usage


def test_the_entry_point_loads_without_torch():
    script = "import sys, tallystick_platform.engine.replay; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


def test_the_entry_point_names_this_function():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["tallystick.replay"] == {"engine": f"{replay.__module__}:{replay.__name__}"}
