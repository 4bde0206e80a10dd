import json
from dataclasses import replace

import pytest

from tallystick.cli import model_folder
from tallystick.manifest import hash_folder
from tallystick.record import ProofOfCompute
from tallystick.verify import Replayed
from tests.support.synthetic_log import CPU, MODEL, WRITER, SyntheticLog, synthetic_record


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def record(folder):
    proof = ProofOfCompute(class_="reproducible", toploc=None)
    model = replace(MODEL, weights_digest=hash_folder(folder).digest)
    return replace(synthetic_record(1), model=model, proof_of_compute=proof)


@pytest.fixture
def bundle(record, tmp_path):
    log = SyntheticLog()
    log.open_epoch(auditors=())
    log.append([record])
    path = tmp_path / "evidence-of-model.json"
    path.write_bytes(log.bundle(0).to_bytes())
    return path


@pytest.fixture
def run(run):
    """Run the command where the log's writer is known."""
    return lambda *arguments: run(*arguments, "--writer", "0x" + WRITER.address.hex())


class Worker:
    """An installed entry point."""

    name = "engine"

    def __init__(self, run):
        self._run = run

    def load(self):
        if self._run is None:
            raise ModuleNotFoundError("No module named 'torch'")
        return self._run


@pytest.fixture
def install(monkeypatch):
    def install(*runs):
        monkeypatch.setattr(model_folder, "entry_points", lambda group: [Worker(run) for run in runs])

    return install


def same_answer(folder, record, base):
    answer = record.response.outputs[0]
    return Replayed(
        text=answer.content["content"],
        finish_reason=answer.finish_reason,
        usage=record.usage,
        engine=MODEL.engine,
        engine_version=MODEL.engine_version,
        dtype=MODEL.dtype,
        device=MODEL.device,
        gpu=CPU,
    )


def another_answer(folder, record, base):
    return replace(same_answer(folder, record, base), text="Something else")


def test_the_model_that_answered_ends_with_0_and_shows_the_check(run, folder, bundle):
    result = run("verify", "--model", folder, "--bundle", bundle)
    assert result.exit_code == 0
    assert "18 model-digest          pass        2 files" in result.stdout
    assert "19 replay                skipped     not asked for: --replay runs the prompt again" in result.stdout
    assert f"held against a model folder of digest {hash_folder(folder).digest.hex()}" in result.stdout


def test_a_changed_file_ends_with_1_and_is_named_where_a_manifest_lists_it(run, folder, bundle, tmp_path):
    kept = tmp_path / "manifest.json"
    kept.write_text(json.dumps(hash_folder(folder).to_json()))
    (folder / "config.json").write_bytes(b"[]")
    result = run("verify", bundle, "--model", folder, "--manifest", kept)
    assert result.exit_code == 1
    assert "check 18 model-digest: model file config.json" in result.stdout
    assert "model.safetensors" not in result.stdout


def test_a_signature_that_lists_nothing_is_not_used_and_the_rest_is_checked(run, folder, bundle):
    (folder / "model.sig").write_bytes(b"{}")
    result = run("verify", bundle, "--model", folder)
    assert result.exit_code == 0
    assert "model.sig is not used" in result.stderr


@pytest.mark.parametrize("provenance", [None, b"", b"[]", b"{}", b'{"source_digest":7}', b'{"source_digest":"zz"}'])
def test_an_export_says_from_which_model_it_was_made(run, folder, record, bundle, provenance):
    own = json.dumps({"source_digest": record.model.weights_digest.hex()}).encode()
    (folder / "provenance.json").write_bytes(own if provenance is None else provenance)
    result = run("verify", bundle, "--model", folder)
    assert result.exit_code == (2 if provenance is None else 1)
    assert ("derived from the model that answered" in result.stdout) is (provenance is None)


def test_json_names_the_folders_digest(run, folder, bundle):
    document = json.loads(run("verify", bundle, "--model", folder, "--json").stdout)
    assert document["subject"]["model_digest"] == hash_folder(folder).digest.hex()
    assert [check["number"] for check in document["checks"]] == list(range(1, 20))


def test_the_same_answer_again_ends_with_0(run, folder, bundle, install):
    install(same_answer)
    result = run("verify", bundle, "--model", folder, "--replay")
    assert result.exit_code == 0
    assert "19 replay                pass        1 answer" in result.stdout


def test_an_adapters_base_is_handed_on(run, folder, bundle, install, tmp_path):
    def expecting(found, record, base):
        assert (found, base) == (folder, tmp_path)
        return same_answer(found, record, base)

    install(expecting)
    assert run("verify", bundle, "--model", folder, "--replay", "--base", tmp_path).exit_code == 0


def test_what_the_model_prints_is_not_in_the_verdict(run, folder, bundle, install):
    def chatty(found, record, base):
        print("loading")
        return same_answer(found, record, base)

    install(chatty)
    assert json.loads(run("verify", bundle, "--model", folder, "--replay", "--json").stdout)["exit_code"] == 0


def test_another_answer_ends_with_1(run, folder, bundle, install):
    install(another_answer)
    result = run("verify", bundle, "--model", folder, "--replay", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failures"][0]["name"] == "replay"


def test_a_replay_that_says_nothing_ends_with_2(run, folder, record, tmp_path, install):
    install(same_answer)
    log = SyntheticLog()
    log.open_epoch(auditors=())
    log.append([replace(record, proof_of_compute=None)])
    path = tmp_path / "statistical.json"
    path.write_bytes(log.bundle(0).to_bytes())
    result = run("verify", path, "--model", folder, "--replay")
    assert result.exit_code == 2
    assert result.stdout.splitlines()[-1].startswith("Could not check all that was asked for: 19 replay.")


def torchless(folder, record, base):
    raise ModuleNotFoundError("No module named 'torch'")


@pytest.mark.parametrize("runs", [(), (None,), (torchless,)])
def test_without_the_workers_packages_it_ends_with_2_and_says_what_to_install(run, folder, bundle, install, runs):
    install(*runs)
    result = run("verify", bundle, "--model", folder, "--replay")
    assert result.exit_code == 2
    assert "pip install 'tallystick[worker]'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "{folder}"], "give its evidence, FILE"),
        (["{bundle}", "--replay"], "--replay is about a model folder"),
        (["{bundle}", "--manifest", "{bundle}"], "--manifest is about a model folder"),
        (["{bundle}", "--base", "{folder}"], "--base is about a model folder"),
        (["{bundle}", "--bundle", "{bundle}"], "are the same"),
        (["{bundle}", "--model", "/nowhere"], "is not a folder"),
        (["{bundle}", "--model", "{folder}", "--manifest", "{bundle}"], "is no object with exactly"),
    ],
)
def test_what_cannot_be_asked_ends_with_2_and_says_why(run, folder, bundle, arguments, message):
    result = run("verify", *[text.format(folder=folder, bundle=bundle) for text in arguments])
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_folder_that_has_no_digest_ends_with_2(run, folder, bundle):
    (folder / "link").symlink_to("/etc/passwd")
    result = run("verify", bundle, "--model", folder)
    assert result.exit_code == 2
    assert "could not check: manifest, link: is a symbolic link" in result.stderr
