import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tallystick.record import Gpu, Model, ProofOfCompute, Response, State
from tallystick.tasks import chat_output
from tallystick.tasks.chat_requests import messages_of
from tallystick.verify import ReplayRefused
from tallystick_platform.api.chat_parsing import parse_chat
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.replay import replay
from tallystick_platform.engine.rerun import request_of
from tallystick_platform.engine.weights_digest import compute
from tallystick_platform.protocol import Finished, Piece, VersionConfig
from tests.support.real_model import real_model
from tests.support.synthetic_log import synthetic_record
from tests.support.tiny_causal import write_tiny_adapter, write_tiny_causal
from tests.support.tiny_model import request, write_tiny_model

SAMPLED = {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "max_tokens": 24, "seed": 7, "stop": ("zz",)}
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("replay") / "tiny")


def _quiet(stage, fraction):
    pass


def serve(folder, others=0, version=None, **parameters):
    """The record of a chat that a worker answered, beside other requests."""
    with TemporaryDirectory() as scratch:
        config = EngineConfig(model=str(folder), models_dir=Path(scratch), version=version)
        engine = load_engine(config, _quiet)
    asked = request(1, **parameters)
    for one in [request(2 + number, text="Somebody else " * number) for number in range(others)]:
        engine.submit(one)
    engine.submit(asked)
    events = []
    while engine.has_work():
        events += [event for event in engine.step() if event.request_id == asked.request_id]
    text = "".join(event.data for event in events if isinstance(event, Piece))
    (end,) = [event for event in events if isinstance(event, Finished)]
    model, gpu = engine.model, engine.gpu
    return replace(
        synthetic_record(1),
        model=Model(
            **{name: getattr(model, name) for name in ("id", "version", "weights_digest", "engine", "engine_version")},
            **{name: getattr(model, name) for name in ("dtype", "quantisation", "device")},
        ),
        gpu=Gpu(kind=gpu.kind, name=gpu.name, uuid=None, count=gpu.count, memory_bytes=gpu.memory_bytes, driver=None),
        parameters={name: getattr(asked, name) for name in SAMPLED},
        prompt={"messages": list(asked.messages)},
        response=Response(outputs=(chat_output(text, end.finish_reason),)),
        usage={"input_tokens": end.usage["input_tokens"], "output_tokens": end.usage["output_tokens"]},
        proof_of_compute=ProofOfCompute(class_=model.reproducibility, toploc=None),
    )


@pytest.fixture(scope="module")
def record(folder):
    return serve(folder, others=3, **SAMPLED)


def test_a_sampled_answer_that_was_computed_beside_others_comes_out_again(folder, record):
    found, answer = replay(folder, record), record.response.outputs[0]
    assert record.usage["output_tokens"] > 1
    assert (found.text, found.finish_reason, found.usage) == (
        answer.content["content"],
        answer.finish_reason,
        record.usage,
    )


def test_the_replay_names_the_means_that_the_record_names(folder, record):
    found = replay(folder, record)
    names = ("engine", "engine_version", "dtype", "device")
    assert [getattr(found, name) for name in names] == [getattr(record.model, name) for name in names]
    assert (found.gpu.kind, found.gpu.name, found.gpu.count) == (record.gpu.kind, record.gpu.name, record.gpu.count)


@pytest.mark.model
def test_the_packaged_model_gives_its_answer_again():
    record = serve(real_model(), others=1, **(SAMPLED | {"max_tokens": 12}))
    found = replay(real_model(), record)
    assert (found.text, found.usage) == (record.response.outputs[0].content["content"], record.usage)


def test_another_seed_gives_another_answer(folder, record):
    other = replace(record, parameters=dict(record.parameters) | {"seed": 8})
    assert replay(folder, other).text != record.response.outputs[0].content["content"]


def test_the_request_is_the_one_that_the_engine_had(record):
    again = request_of(replace(record, parameters=dict(record.parameters) | {"user": "somebody"}))
    asked = request(1, **SAMPLED)
    names = ("temperature", "top_p", "top_k", "max_tokens", "seed", "stop")
    assert [getattr(again, name) for name in names] == [getattr(asked, name) for name in names]
    assert again.messages == list(asked.messages)


def test_numbers_are_taken_however_they_were_asked_for():
    asked = SAMPLED | {"temperature": 1, "top_k": 40.0, "n": 1}
    again = request_of(replace(synthetic_record(1), prompt={"messages": MESSAGES}, parameters=asked))
    assert (again.temperature, again.top_k) == (1.0, 40)
    assert [type(value) for value in (again.temperature, again.top_k)] == [float, int]


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ({"top_p": 0}, (0.0, 1.0, 40)),
        ({"top_p": 0, "top_k": -1, "temperature": 2}, (0.0, 1.0, 0)),
        ({"top_k": -1}, (0.8, 0.9, 0)),
        ({"top_k": 0, "top_p": 1}, (0.8, 1, 0)),
    ],
)
def test_what_clients_say_in_another_way_is_drawn_as_the_engine_says_it(asked, drawn):
    parameters = SAMPLED | asked | {"presence_penalty": 0, "tools": (), "logprobs": False}
    prompt = {"messages": MESSAGES, "logit_bias": {}, "response_format": {"type": "text"}}
    again = request_of(replace(synthetic_record(1), prompt=prompt, parameters=parameters))
    assert (again.temperature, again.top_p, again.top_k) == drawn


def test_messages_become_turns_as_the_service_makes_them():
    body = b"""{"model":"m","messages":[{"role":"developer","content":"Be brief."},
      {"role":"user","content":[{"type":"text","text":"Hel"},{"type":"text","text":"lo"}]},
      {"role":"assistant","content":"Yes?","refusal":null,"tool_calls":[]},{"role":"assistant","content":null},
      {"role":"user","content":"","name":"ann"}]}"""
    sent = parse_chat(body).request
    record = replace(synthetic_record(1), prompt={"messages": list(messages_of(sent.reading))}, parameters=SAMPLED)
    assert tuple(request_of(record).messages) == sent.turns


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task": "embedding"}, "the task is embedding"),
        ({"parameters": SAMPLED | {"logit_bias": 1}}, "does not know the parameter 'logit_bias'"),
        ({"parameters": {name: value for name, value in SAMPLED.items() if name != "seed"}}, "parameter seed"),
        ({"parameters": SAMPLED | {"top_k": True}}, "parameter top_k"),
        ({"parameters": SAMPLED | {"top_k": "3"}}, "parameter top_k"),
        ({"parameters": SAMPLED | {"stop": 7}}, "parameter stop"),
        ({"parameters": SAMPLED | {"stop": (7,)}}, "parameter stop"),
        ({"parameters": SAMPLED | {"top_k": 3.5}}, "parameter top_k"),
        ({"prompt": {}}, "holds no messages"),
        ({"prompt": {"messages": MESSAGES, "tools": [{"type": "function"}]}}, "prompt's 'tools'"),
        ({"prompt": {"messages": "Hello"}}, "holds no messages"),
        ({"prompt": {"messages": ["Hello"]}}, "role and content"),
        ({"prompt": {"messages": [{"role": "user", "content": "a", "refusal": "b"}]}}, "role and content"),
        ({"prompt": {"messages": [{"role": "user", "content": "a", "": 1}]}}, "role and content"),
        ({"parameters": SAMPLED | {"n": 2}}, "parameter 'n'"),
        ({"parameters": SAMPLED | {"frequency_penalty": 0.5}}, "parameter 'frequency_penalty'"),
        ({"prompt": {"messages": [{"role": "user", "content": 7}]}}, "something else than text"),
        ({"prompt": {"messages": [{"role": "user", "content": [{"type": "image"}]}]}}, "something else than text"),
        ({"prompt": {"messages": [{"role": "user", "content": [b"a"]}]}}, "something else than text"),
        ({"prompt": {"messages": [{"role": "user", "content": None}]}}, "no text"),
    ],
)
def test_what_cannot_be_asked_again_is_refused_by_name(changes, reason):
    record = replace(synthetic_record(1), **({"parameters": SAMPLED, "prompt": {"messages": MESSAGES}} | changes))
    with pytest.raises(ReplayRefused, match=reason):
        request_of(record)


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
    record = serve(folder, **SAMPLED)
    found = replay(folder, record)
    assert (found.engine, found.engine_version) == (record.model.engine, record.model.engine_version)
    assert found.engine == "tallystick-causal"
    assert (found.text, found.usage) == (record.response.outputs[0].content["content"], record.usage)


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
    return base, folder, serve(folder, version=version, **SAMPLED)


def test_an_adapter_is_run_again_on_its_base(adapter):
    base, folder, record = adapter
    assert replay(folder, record, base).text == record.response.outputs[0].content["content"]


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
