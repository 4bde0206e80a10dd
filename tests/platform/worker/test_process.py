"""The worker as a process: how it begins, and that it never outlives the one that started it."""

import json
import subprocess
import sys

import msgspec
import pytest
import zmq

from tallystick_platform.protocol import Fatal, Hello, Loading, VersionConfig, WorkerConfig, decode_from_worker
from tests.support.tiny_model import write_tiny_model
from tests.support.workers import wait_for_end


@pytest.fixture
def router(tmp_path):
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.bind(f"ipc://{tmp_path}/s")
    yield socket
    socket.close(0)
    context.term()


def start(tmp_path, **changes):
    config = WorkerConfig(
        **{
            "endpoint": f"ipc://{tmp_path}/s",
            "worker_id": "w.1",
            "engine": "constant",
            "model": "constant",
            "models_dir": str(tmp_path / "models"),
            "max_requests": 4,
            **changes,
        }
    )
    return subprocess.Popen(
        [sys.executable, "-m", "tallystick_platform.worker", msgspec.json.encode(config).decode()],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def hear(router):
    assert router.poll(60_000), "the worker said nothing"
    identity, frame = router.recv_multipart()
    assert identity == b"w.1"
    return decode_from_worker(frame)


def test_a_worker_says_hello_and_ends_with_its_input(tmp_path, router):
    process = start(tmp_path)
    hello = hear(router)
    assert isinstance(hello, Hello)
    assert hello.pid == process.pid
    process.stdin.close()
    assert process.wait(20) == 0


def test_a_model_that_cannot_be_served_is_a_workers_last_word(tmp_path, router):
    process = start(tmp_path, engine="torch", model=str(tmp_path / "nothing"))
    said = hear(router)
    assert isinstance(said, Fatal)
    assert "neither 'demo' nor" in said.reason
    assert str(tmp_path) not in said.reason
    assert process.wait(20) == 3
    process.stdin.close()


def test_a_torch_worker_reports_its_loading_and_serves_a_folder(tmp_path, router):
    process = start(tmp_path, engine="torch", model=str(write_tiny_model(tmp_path / "tiny")))
    heard = [hear(router)]
    while not isinstance(heard[-1], Hello):
        heard.append(hear(router))
    assert {type(message) for message in heard[:-1]} == {Loading}
    assert heard[-1].model.id == "tiny"
    assert heard[-1].folder == str(tmp_path / "tiny")
    process.stdin.close()
    assert process.wait(20) == 0


def test_a_worker_whose_files_changed_refuses_before_hello(tmp_path, router):
    folder = write_tiny_model(tmp_path / "tiny")
    told = VersionConfig(model_id="m", version="0" * 12, folder=str(folder), digest="0" * 64, task="chat")
    process = start(tmp_path, engine="torch", version=told)
    heard = [hear(router)]
    while isinstance(heard[-1], Loading):
        heard.append(hear(router))
    assert isinstance(heard[-1], Fatal)
    assert f"not {'0' * 64} as registered" in heard[-1].reason
    assert process.wait(20) == 3
    process.stdin.close()


def test_no_path_and_no_text_of_a_library_leaves_the_worker(tmp_path, router):
    folder = write_tiny_model(tmp_path / "secret-place")
    (folder / "model.safetensors").write_bytes(b"no weights")
    process = start(tmp_path, engine="torch", model=str(folder))
    heard = [hear(router)]
    while isinstance(heard[-1], Loading):
        heard.append(hear(router))
    assert heard[-1] == Fatal(
        "the model cannot be served: its weights cannot be read: the library says SafetensorError"
    )
    assert process.wait(20) == 3
    process.stdin.close()


def test_a_worker_dies_with_a_parent_that_is_killed(tmp_path, router):
    # A middle process starts the worker and is killed; the worker's input is kept open by this test, so the signal must do it.
    code = (
        "import subprocess, sys, json\n"
        "args = json.loads(sys.argv[1])\n"
        "child = subprocess.Popen(args, stdin=int(sys.argv[2]), stderr=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    config = WorkerConfig(
        endpoint=f"ipc://{tmp_path}/s",
        worker_id="w.1",
        engine="constant",
        model="constant",
        models_dir="",
        max_requests=1,
    )
    args = [sys.executable, "-m", "tallystick_platform.worker", msgspec.json.encode(config).decode()]
    import os

    read_end, write_end = os.pipe()
    middle = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(args), str(read_end)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(read_end,),
    )
    try:
        pid = int(middle.stdout.readline())
        assert isinstance(hear(router), Hello)
        middle.kill()
        middle.wait(20)
        assert wait_for_end(pid)
    finally:
        os.close(read_end)
        os.close(write_end)
        middle.stdin.close()
        middle.stdout.close()
