import base64
import hashlib
import json
import math
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import ManifestError
from tallystick.ids import to_hex
from tallystick.manifest import FileEntry, Manifest
from tallystick.record import FIELD_NAMES, BlobRef, Output, ProofOfCompute, Response, State
from tallystick.tasks import chat_output
from tallystick.tasks.completion import text_output
from tallystick.tasks.embedding import vector_output
from tallystick.verify import file_lists
from tallystick.verify.bundle_checks import CLOSED, verify_bundle
from tallystick.verify.file_lists import FileList, read_file_list
from tallystick.verify.model_checks import (
    ANOTHER_MODEL,
    MADE_FROM_IT,
    NO_LIST,
    NOT_ASKED,
    ModelFolder,
    Replayed,
    ReplayRefused,
    check_model,
)
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Outcome, Status, Step
from tallystick.verify.vouching import Vouch
from tests.support.synthetic_log import CPU, MODEL, SyntheticLog, synthetic_record

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "extra/vocab.txt": b"a b"}


def listed(files):
    return {name: hashlib.sha256(data).digest() for name, data in files.items()}


def manifest(files):
    return Manifest.of(
        FileEntry(name=name, size=len(files[name]), sha256=digest) for name, digest in listed(files).items()
    )


MODEL_HERE = replace(MODEL, weights_digest=manifest(FILES).digest, dtype="float32")
BAD_FILES = {"manifest_digest": "0x" + "aa" * 32, "files": [{"name": "../a", "size": 1, "sha256": "aa" * 32}]}
KNOWN = Vouch(how="for the test", log_known=True)
REPRODUCIBLE = ProofOfCompute(class_="reproducible", toploc=None)


def answered(**changes):
    """A chat that the model of FILES answered, in the class that can be run again."""
    return replace(synthetic_record(1), **{"model": MODEL_HERE, "proof_of_compute": REPRODUCIBLE, **changes})


def text_of(record):
    content = record.response.outputs[0].content
    return content if isinstance(content, str) else content["content"]


def replaying(record, **changes):
    """A replay that gives the record's answer, with changes."""
    means = {name: getattr(MODEL_HERE, name) for name in ("engine", "engine_version", "dtype", "device")}
    found = Replayed(outputs=record.response.outputs, usage=record.usage, gpu=CPU, **means)
    return lambda _: replace(found, **changes)


def saying(record, text=None, finish_reason="stop"):
    """The outputs of a replay that says something else, or ends for another reason."""
    (output,) = record.response.outputs
    text = text_of(record) if text is None else text
    return ((text_output if output.kind == "text" else chat_output)(text, finish_reason),)


def logged(record):
    log = SyntheticLog()
    log.open_epoch(auditors=())
    log.append([record])
    return log


def verdict_of(record, folder, *, fields=None):
    log = logged(record)
    bundle = log.bundle(0) if fields is None else log.disclosed_bundle(0, fields)
    return verify_bundle(bundle, None, folder, vouch=KNOWN)


def texts(verdict, step):
    return [reason.text for reason in verdict.check(step).reasons]


def failures(verdict):
    return [(failure.step, failure.where, failure.expected, failure.found) for failure in verdict.failures]


def told(data):
    return f"SHA-256 {hashlib.sha256(data).hexdigest()}"


def test_without_a_folder_there_are_seventeen_checks():
    assert len(verdict_of(answered(), None).checks) == 17


def test_the_files_of_the_record_are_proven_and_counted():
    verdict = verdict_of(answered(), ModelFolder(manifest=manifest(FILES)))
    assert verdict.outcome is Outcome.PROVEN
    assert (verdict.check(Step.MODEL_DIGEST).status, verdict.check(Step.MODEL_DIGEST).held) == (Status.PASS, 3)
    assert (verdict.check(Step.REPLAY).status, texts(verdict, Step.REPLAY)) == (Status.SKIPPED, [NOT_ASKED])
    assert verdict.subject.model_digest == MODEL_HERE.weights_digest


def test_the_disclosed_field_model_is_enough():
    verdict = verdict_of(answered(), ModelFolder(manifest=manifest(FILES)), fields=["model"])
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.check(Step.MODEL_DIGEST).held == 3


def test_another_folder_is_proven_wrong_with_both_digests():
    other = manifest(FILES | {"config.json": b"[]"})
    verdict = verdict_of(answered(), ModelFolder(manifest=other))
    assert verdict.outcome is Outcome.WRONG
    assert failures(verdict) == [
        (18, "record 0, model folder", f"digest {MODEL_HERE.weights_digest.hex()}", f"digest {other.digest.hex()}")
    ]
    assert texts(verdict, Step.MODEL_DIGEST) == [NO_LIST]


def test_with_a_list_of_the_records_files_each_differing_missing_and_extra_file_is_named():
    changed = {"config.json": b"[]", "model.safetensors": b"weights", "more.txt": b"more"}
    kept = FileList(origin="model.sig", files=listed(FILES))
    verdict = verdict_of(answered(), ModelFolder(manifest=manifest(changed), lists=(kept,)))
    assert failures(verdict)[1:] == [
        (18, "model file config.json", told(b"{}"), told(b"[]")),
        (18, "model file extra/vocab.txt", told(b"a b"), "no such file"),
        (18, "model file more.txt", "no such file", told(b"more")),
    ]
    check = verdict.check(Step.MODEL_DIGEST)
    assert (check.status, check.held, check.failed) == (Status.FAIL, 1, 4)


def test_a_list_of_another_models_files_names_nothing():
    other = FileList(origin="model.sig", files=listed({"a": b"b"}))
    verdict = verdict_of(answered(), ModelFolder(manifest=manifest({"a": b"c"}), lists=(other,)))
    assert len(verdict.failures) == 1
    assert texts(verdict, Step.MODEL_DIGEST) == [
        f"model.sig lists the files of another model, {other.digest.hex()}",
        NO_LIST,
    ]


@pytest.mark.parametrize(
    ("record", "fields", "reason"),
    [
        (answered(), ["gpu", "price"], "whose field model is not shown"),
        (answered(model=None), None, "that names no model"),
    ],
)
def test_a_record_that_shows_no_model_proves_nothing_about_the_folder(record, fields, reason):
    verdict = verdict_of(record, ModelFolder(manifest=manifest(FILES)), fields=fields)
    assert verdict.outcome is Outcome.UNCHECKED
    assert texts(verdict, Step.MODEL_DIGEST) == [reason]


def test_a_closed_bundle_proves_nothing_about_the_folder():
    record = answered()
    folder = ModelFolder(manifest=manifest(FILES), replay=replaying(record))
    verdict = verify_bundle(logged(record).bundle(0, secret=False), None, folder, vouch=KNOWN)
    assert verdict.outcome is Outcome.UNCHECKED
    assert texts(verdict, Step.MODEL_DIGEST) == texts(verdict, Step.REPLAY) == [CLOSED]


def delivering(text, finish_reason="stop", **changes):
    """A record of this answer."""
    return answered(response=Response(outputs=(chat_output(text, finish_reason),)), **changes)


def exported(document):
    outputs = (Output(kind="document", content=document),)
    return answered(task="export", request=None, prompt=None, instructions=None, response=Response(outputs=outputs))


def test_an_exports_record_is_held_against_the_files_that_came_out():
    out = manifest({"model.onnx": b"graph"})
    record = exported({"manifest_digest": to_hex(out.digest), "files": []})
    assert verdict_of(record, ModelFolder(manifest=out)).outcome is Outcome.PROVEN
    assert verdict_of(record, ModelFolder(manifest=manifest(FILES))).outcome is Outcome.WRONG


def test_an_exports_record_that_does_not_show_its_response_proves_nothing():
    verdict = verdict_of(exported({}), ModelFolder(manifest=manifest(FILES)), fields=["task", "model"])
    assert verdict.outcome is Outcome.UNCHECKED
    assert texts(verdict, Step.MODEL_DIGEST) == ["whose field response is not shown"]


def test_an_exports_record_lists_its_files_so_that_a_differing_one_is_named():
    out = manifest(FILES)
    entries = [{"name": one.name, "size": one.size, "sha256": one.sha256.hex()} for one in out.files]
    record = exported({"manifest_digest": to_hex(out.digest), "files": entries})
    verdict = verdict_of(record, ModelFolder(manifest=manifest(FILES | {"config.json": b"[]"})))
    assert failures(verdict)[1:] == [(18, "model file config.json", told(b"{}"), told(b"[]"))]


def test_a_downloads_record_is_held_against_the_export_that_it_was_of():
    out = manifest({"model.onnx": b"graph"})
    document = {"bytes": 5, "manifest_digest": to_hex(out.digest), "sha256": None}
    assert verdict_of(exported(document), ModelFolder(manifest=out)).outcome is Outcome.PROVEN


def test_an_export_held_against_an_answer_of_its_source_is_recognised_and_accuses_nobody():
    out = ModelFolder(manifest=manifest({"model.onnx": b"graph"}), made_from=MODEL_HERE.weights_digest)
    verdict = verdict_of(answered(), out)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())
    assert texts(verdict, Step.MODEL_DIGEST) == [MADE_FROM_IT.text]


@pytest.mark.parametrize(
    "document", ["", [], {}, BAD_FILES, {"manifest_digest": 7}, {"manifest_digest": "aa"}, None], ids=str
)
def test_an_exports_record_without_a_digest_proves_nothing(document):
    verdict = verdict_of(exported(document), ModelFolder(manifest=manifest(FILES)))
    assert verdict.outcome is Outcome.UNCHECKED
    assert texts(verdict, Step.MODEL_DIGEST) == ["of an export that names no files"]


def replayed_verdict(record, folder_files=FILES, **changes):
    folder = ModelFolder(manifest=manifest(folder_files), replay=replaying(record, **changes))
    return verdict_of(record, folder)


def test_the_same_answer_again_is_proven():
    verdict = replayed_verdict(answered())
    assert verdict.outcome is Outcome.PROVEN
    assert (verdict.check(Step.REPLAY).status, verdict.check(Step.REPLAY).held) == (Status.PASS, 1)


def test_the_same_completion_again_is_proven_and_another_is_not():
    record = answered(response=Response(outputs=(text_output(" a time.", "stop"),)))
    assert replayed_verdict(record).outcome is Outcome.PROVEN
    assert replayed_verdict(record, outputs=saying(record, " a day.")).outcome is Outcome.WRONG


def shown(*logprobs):
    """The tokens of an answer as completions list them, and as chats do."""
    entries = [{"token": "x", "bytes": [120], "logprob": one, "top_logprobs": []} for one in logprobs]
    return {"tokens": ["x"] * len(logprobs), "token_logprobs": list(logprobs)}, {"content": entries}


@pytest.mark.parametrize("form", [0, 1], ids=["completion", "chat"])
@pytest.mark.parametrize(
    ("again", "outcome"),
    [
        ((None, -1.25, -0.5), Outcome.PROVEN),
        ((None, -1.2506, -0.4999), Outcome.PROVEN),
        ((None, -1.25, -0.502), Outcome.WRONG),
        ((None, -1.25, None), Outcome.WRONG),
    ],
)
def test_probabilities_of_shown_tokens_are_compared_up_to_their_last_bits(form, again, outcome):
    output = text_output("xxx", "stop", shown(None, -1.25, -0.5)[form])
    record = answered(response=Response(outputs=(output,)))
    verdict = replayed_verdict(record, outputs=(replace(output, logprobs=shown(*again)[form]),))
    assert verdict.outcome is outcome
    if outcome is Outcome.WRONG:
        ((_, _, expected, _),) = failures(verdict)
        assert expected == "answer 0, token 2 with the logprob -0.500000"


@pytest.mark.parametrize(
    "output",
    [
        Output(kind="document", content={"a": 1}),
        chat_output("Look.", "tool_calls", [{"id": "c", "name": "n", "arguments": "{}"}]),
        chat_output(None, "stop"),
        Output(kind="document", content="A text."),
    ],
    ids=["an object", "a call beside a text", "no text", "a document"],
)
def test_an_answer_that_is_more_than_text_is_the_same_as_a_whole_or_another(output):
    record = answered(response=Response(outputs=(output,)))
    same = verdict_of(record, ModelFolder(manifest=manifest(FILES), replay=replaying(record)))
    assert same.check(Step.REPLAY).held == 1
    other = verdict_of(record, ModelFolder(manifest=manifest(FILES), replay=replaying(answered())))
    assert other.outcome is Outcome.WRONG
    ((_, _, expected, found),) = failures(other)
    assert (expected, found) == (f"answer 0 as recorded, a {output.kind}", "another message")


def test_another_answer_by_the_same_means_is_proven_wrong_where_it_begins_to_differ():
    record = answered()
    text = text_of(record)
    verdict = replayed_verdict(record, outputs=saying(record, text[:5] + "X" + text[6:]))
    assert verdict.outcome is Outcome.WRONG
    ((step, where, expected, found),) = failures(verdict)
    assert (step, where) == (19, "record 0")
    assert expected == f"{text[5:65]!r} from character 5 of {len(text)}"
    assert found.startswith("'X")


@pytest.mark.parametrize(
    "changes",
    [{"outputs": saying(answered(), finish_reason="length")}, {"usage": {"input_tokens": 9, "output_tokens": 81}}],
)
def test_the_same_text_that_ended_otherwise_is_proven_wrong(changes):
    verdict = replayed_verdict(answered(), **changes)
    assert verdict.outcome is Outcome.WRONG
    assert failures(verdict)[0][2] == "finish reason stop, input_tokens 9, output_tokens 80"


@pytest.mark.parametrize(
    "changes",
    [
        {"engine_version": "3"},
        {"dtype": "bfloat16"},
        {"gpu": replace(CPU, name="Another processor")},
        {"gpu": replace(CPU, count=2)},
    ],
)
def test_another_answer_by_other_means_proves_nothing_and_says_by_which(changes):
    verdict = replayed_verdict(answered(), outputs=saying(answered(), "Some answer"), **changes)
    assert verdict.outcome is Outcome.UNCHECKED
    (reason,) = texts(verdict, Step.REPLAY)
    assert reason.startswith("which differs ('Some answer' from character 0 of 11)")
    assert " then, " in reason


def test_the_same_answer_by_other_means_is_proven_all_the_same():
    assert replayed_verdict(answered(), gpu=replace(CPU, name="Another processor")).outcome is Outcome.PROVEN


@pytest.mark.parametrize(("text", "outcome"), [("A tally", Outcome.PROVEN), ("A tale", Outcome.WRONG)])
def test_of_an_answer_that_was_cut_short_the_delivered_part_is_compared(text, outcome):
    whole = answered()
    record = delivering(text, "cancelled", state=State.CANCELLED, usage=None)
    verdict = verdict_of(record, ModelFolder(manifest=manifest(FILES), replay=replaying(whole)))
    assert verdict.outcome is outcome


def embedding(*vectors, class_="reproducible", **changes):
    """A record of these vectors."""
    outputs = tuple(vector_output(struct.pack(f"<{len(vector)}f", *vector)) for vector in vectors)
    proof = ProofOfCompute(class_=class_, toploc=None)
    usage = {"input_tokens": 4, "vectors": len(vectors)}
    return answered(response=Response(outputs=outputs), proof_of_compute=proof, usage=usage, **changes)


def giving(*vectors):
    return embedding(*vectors).response.outputs


NEAR, FAR = (0.6001, 0.7999), (0.8, 0.6)


def test_the_same_vectors_again_are_proven():
    assert replayed_verdict(embedding((0.6, 0.8), (1.0, 0.0))).outcome is Outcome.PROVEN


@pytest.mark.parametrize("vector", [NEAR, FAR, (0.6, 0.8, 0.0), (math.nan, 0.8)])
def test_another_bit_of_a_reproducible_vector_is_proven_wrong(vector):
    verdict = replayed_verdict(embedding((1.0, 0.0), (0.6, 0.8)), outputs=giving((1.0, 0.0), vector))
    assert verdict.outcome is Outcome.WRONG


def test_a_vector_of_the_class_statistical_must_point_the_same_way():
    record = embedding((0.6, 0.8), class_="statistical")
    assert replayed_verdict(record, outputs=giving(NEAR)).outcome is Outcome.PROVEN
    for other in (FAR, (math.nan, 0.8), (math.inf, 0.0), (0.0, 0.0)):
        verdict = replayed_verdict(record, outputs=giving(other))
        assert verdict.outcome is Outcome.WRONG
        assert failures(verdict)[0][2] == "vector 0 with a cosine of at least 0.999, and as long"


@pytest.mark.parametrize("times", [1000.0, 1.01, 0.5])
def test_a_vector_of_the_class_statistical_must_be_as_long(times):
    record = embedding((0.6 * times, 0.8 * times), class_="statistical")
    verdict = replayed_verdict(record, outputs=giving((0.6, 0.8)))
    assert verdict.outcome is Outcome.WRONG


def test_vectors_that_are_missing_are_missed_unless_the_record_was_cut_short():
    first, both = ((0.6, 0.8),), ((0.6, 0.8), (1.0, 0.0))
    assert replayed_verdict(embedding(*first), outputs=giving(*both)).outcome is Outcome.WRONG
    assert replayed_verdict(embedding(*both), outputs=giving(*first)).outcome is Outcome.WRONG
    cut_short = embedding(*first, state=State.CANCELLED)
    assert replayed_verdict(cut_short, outputs=giving(*both)).outcome is Outcome.PROVEN


def never(_):
    raise AssertionError("nothing may run")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"proof_of_compute": None}, "of the class none"),
        ({"proof_of_compute": ProofOfCompute(class_="statistical", toploc=None)}, "of the class statistical"),
        ({"response": None}, "without an answer"),
        ({"prompt": None}, "without an answer"),
        ({"response": Response(outputs=())}, "without an answer"),
    ],
)
def test_what_cannot_be_compared_is_not_run(changes, reason):
    verdict = verdict_of(answered(**changes), ModelFolder(manifest=manifest(FILES), replay=never))
    assert verdict.check(Step.REPLAY).status is Status.NOT_COVERED
    assert reason in texts(verdict, Step.REPLAY)[0]
    assert verdict.outcome is not Outcome.PROVEN


def test_a_prompt_in_a_blob_that_nobody_showed_is_not_run():
    record = answered(prompt=BlobRef(digest=bytes(32), length=30_000, sealed_digest=bytes(32)))
    tally, folder = Tally(), ModelFolder(manifest=manifest(FILES), replay=never)
    check_model(tally, "record 0", record, frozenset(FIELD_NAMES), folder)
    assert tally.is_blocked(Step.REPLAY)
    assert not tally.held[Step.REPLAY]


def test_a_replay_needs_its_fields_shown():
    verdict = verdict_of(answered(), ModelFolder(manifest=manifest(FILES), replay=never), fields=["model", "prompt"])
    assert texts(verdict, Step.REPLAY) == [
        "whose fields task, state, gpu, parameters, response, usage, proof_of_compute are not shown"
    ]


def test_another_model_is_not_run():
    record = answered()
    verdict = verdict_of(record, ModelFolder(manifest=manifest({"a": b""}), replay=never))
    assert texts(verdict, Step.REPLAY) == [ANOTHER_MODEL]


def test_a_replay_that_is_refused_proves_nothing():
    def refuse(_):
        raise ReplayRefused("there is no such engine here")

    verdict = verdict_of(answered(), ModelFolder(manifest=manifest(FILES), replay=refuse))
    assert verdict.outcome is Outcome.UNCHECKED
    assert texts(verdict, Step.REPLAY) == ["not run again: there is no such engine here"]


def signature(resources):
    payload = base64.b64encode(json.dumps({"predicate": {"resources": resources}}).encode()).decode()
    return json.dumps({"dsseEnvelope": {"payload": payload}}).encode()


def resource(name, data, algorithm="sha256"):
    return {"name": name, "digest": hashlib.sha256(data).hexdigest(), "algorithm": algorithm}


def test_a_list_is_read_from_a_manifest_and_from_a_signature():
    from_manifest = read_file_list("kept.json", json.dumps(manifest(FILES).to_json()).encode())
    from_signature = read_file_list("model.sig", signature([resource(name, data) for name, data in FILES.items()]))
    assert from_manifest.files == from_signature.files == listed(FILES)
    assert from_manifest.digest == MODEL_HERE.weights_digest


def test_a_list_is_read_from_what_model_signing_writes(tmp_path):
    signing = pytest.importorskip("model_signing.signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from tallystick.manifest import hash_folder

    folder, key = tmp_path / "model", tmp_path / "key.pem"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes(FILES[name])
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key.write_bytes(pem)
    signing.Config().use_elliptic_key_signer(private_key=key).sign(folder, folder / "model.sig")
    assert read_file_list("model.sig", (folder / "model.sig").read_bytes()).digest == hash_folder(folder).digest


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"dsseEnvelope":7}',
        b'{"dsseEnvelope":{"payload":"***"}}',
        b'{"dsseEnvelope":{"payload":"e30="}}',
        signature([]),
        signature({}),
        signature([7]),
        signature([resource("a", b"", "blake3")]),
        signature([resource("../a", b"")]),
        signature([resource("a", b""), resource("a", b"")]),
        signature([{"name": "a", "digest": "zz", "algorithm": "sha256"}]),
        signature([{"name": "a", "algorithm": "sha256"}]),
        signature([{"name": 7, "digest": "aa" * 32, "algorithm": "sha256"}]),
    ],
)
def test_what_lists_no_files_is_refused(data):
    with pytest.raises(ManifestError):
        read_file_list("model.sig", data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "digest", "algorithm"]) | st.text(), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_other_json_signs_no_files(resources):
    with pytest.raises(ManifestError):
        read_file_list("model.sig", signature(resources))


def test_a_list_beyond_its_bound_is_refused(monkeypatch):
    monkeypatch.setattr(file_lists, "MAX_LIST_BYTES", 10)
    with pytest.raises(ManifestError, match="longer than 10 bytes"):
        read_file_list("model.sig", b" " * 11)
