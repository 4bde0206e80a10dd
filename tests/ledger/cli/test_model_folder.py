import json
import shutil
from dataclasses import replace

import pytest

from tallystick.cli import model_folder
from tallystick.ids import to_hex
from tallystick.manifest import hash_folder
from tallystick.record import Output, ProofOfCompute, Response
from tallystick.tasks import chat_output
from tallystick.verify.model_checks import Replayed
from tests.support.exports import write_signing_key
from tests.support.model_files import sign_folder
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
    return saved(tmp_path / "evidence-of-model.json", record)


def saved(path, record):
    """The evidence of a record, as a file."""
    log = SyntheticLog()
    log.open_epoch(auditors=())
    log.append([record])
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
    return Replayed(
        outputs=record.response.outputs,
        usage=record.usage,
        engine=MODEL.engine,
        engine_version=MODEL.engine_version,
        dtype=MODEL.dtype,
        device=MODEL.device,
        gpu=CPU,
    )


def another_answer(folder, record, base):
    return replace(same_answer(folder, record, base), outputs=(chat_output("Something else", "stop"),))


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


@pytest.fixture
def adapter(tmp_path):
    """An adapter as its owner has it, its base, and the digest under which both were registered."""
    folder, base = tmp_path / "lora", tmp_path / "base"
    for place, files in ((folder, ("adapter_config.json", "adapter_model.safetensors")), (base, ("config.json",))):
        place.mkdir()
        for name in files:
            (place / name).write_bytes(b"{}")
    registered = shutil.copytree(folder, tmp_path / "registered")
    mark = json.dumps({"base_digest": hash_folder(base).digest.hex()}, separators=(",", ":")) + "\n"
    (registered / "tallystick-base.json").write_text(mark)
    return folder, base, registered


@pytest.fixture
def adapters_bundle(adapter, record, tmp_path):
    digest = hash_folder(adapter[2]).digest
    return saved(tmp_path / "adapter.json", replace(record, model=replace(MODEL, weights_digest=digest)))


def test_an_adapters_folder_is_what_answered_together_with_its_base(run, adapter, adapters_bundle):
    folder, base, registered = adapter
    assert run("verify", adapters_bundle, "--model", folder, "--base", base).exit_code == 0
    assert run("verify", adapters_bundle, "--model", registered, "--base", base).exit_code == 0
    alone = run("verify", adapters_bundle, "--model", folder)
    assert (alone.exit_code, "--base DIR" in flat(alone)) == (2, True)


def test_another_base_than_the_adapters_own_could_not_be_checked(run, adapter, adapters_bundle):
    folder, base, registered = adapter
    (base / "config.json").write_bytes(b"[]")
    result = run("verify", adapters_bundle, "--model", registered, "--base", base)
    assert result.exit_code == 2
    assert "belongs to a base of digest" in result.stderr
    assert run("verify", adapters_bundle, "--model", folder, "--base", base).exit_code == 1


def test_a_base_for_what_is_no_adapter_is_refused(run, folder, bundle, tmp_path):
    result = run("verify", bundle, "--model", folder, "--base", tmp_path)
    assert result.exit_code == 2
    assert "--base is for an adapter" in result.stderr


def test_an_adapter_and_its_base_are_handed_on_to_the_replay(run, adapter, adapters_bundle, install):
    def expecting(found, record, base):
        assert (hash_folder(found).digest, base) == (record.model.weights_digest, adapter[1])
        return same_answer(found, record, base)

    install(expecting)
    result = run("verify", adapters_bundle, "--model", adapter[0], "--replay", "--base", adapter[1])
    assert result.exit_code == 0, result.output


@pytest.fixture
def export(folder, record, tmp_path):
    """A folder that was exported from the model that answered, and the evidence of that export's own record."""
    target = tmp_path / "export"
    target.mkdir()
    (target / "model.gguf").write_bytes(b"in another form")
    source = record.model.weights_digest
    (target / "provenance.json").write_text(json.dumps({"source_digest": source.hex()}))
    return target


def export_record(record, export, **changes):
    made = hash_folder(export)
    document = {"manifest_digest": to_hex(made.digest), "files": made.to_json()["files"]}
    output = Output(kind="document", content=document)
    return replace(record, task="export", proof_of_compute=None, response=Response(outputs=(output,)), **changes)


def test_an_export_is_proven_by_its_own_record_to_be_made_from_what_answered(run, export, record, bundle, tmp_path):
    made = saved(tmp_path / "made.json", export_record(record, export))
    alone = run("verify", bundle, "--model", export)
    result = run("verify", bundle, "--model", export, "--export", made)
    assert (alone.exit_code, result.exit_code) == (2, 0)
    assert "these are not the files that answered: record 0 of the same log says that they were exported" in flat(
        result
    )
    assert "these are the files that the export's record lists" in flat(result)
    document = json.loads(run("verify", bundle, "--model", export, "--export", made, "--json").stdout)
    assert (document["exit_code"], document["export"]["exit_code"]) == (0, 0)
    assert document["summary"].startswith("The answer: ")


def test_the_files_that_answered_are_said_to_be_those(run, folder, bundle):
    assert "these are the very files that the record names" in flat(run("verify", bundle, "--model", folder))


def test_an_export_of_another_model_proves_nothing_of_this_one(run, export, record, bundle, tmp_path):
    made = export_record(record, export, model=replace(MODEL, weights_digest=b"\x09" * 32))
    result = run("verify", bundle, "--model", export, "--export", saved(tmp_path / "made.json", made))
    assert result.exit_code == 2


def test_an_export_that_was_changed_is_held_to_its_record(run, export, record, bundle, tmp_path):
    made = saved(tmp_path / "made.json", export_record(record, export))
    (export / "model.gguf").write_bytes(b"in another form!")
    result = run("verify", bundle, "--model", export, "--export", made)
    assert result.exit_code == 1
    assert "model file model.gguf" in result.stdout


def test_an_answer_cannot_say_what_a_folder_was_made_from(run, export, bundle):
    assert run("verify", bundle, "--model", export, "--export", bundle).exit_code == 2


def test_an_export_that_was_changed_after_it_was_signed_is_proven_wrong_and_named(run, export, bundle, tmp_path):
    private, _ = write_signing_key(tmp_path)
    sign_folder(export, private)
    assert run("verify", bundle, "--model", export).exit_code == 2
    (export / "model.gguf").write_bytes(b"in another form!")
    result = run("verify", bundle, "--model", export)
    assert result.exit_code == 1
    assert "model file model.gguf" in result.stdout


def flat(result):
    """What was printed, in one line."""
    return " ".join(result.stdout.split())


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
