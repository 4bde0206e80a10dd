"""The frozen vectors, read by a reader that was written from the specification alone."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.stranger import cbor, crypto, errors, keyfiles, messages, record, requests, sealing, tree, trust
from tests.support.stranger.bundle import read_bundle
from tests.support.stranger.errors import Refused

VECTORS = Path(__file__).parents[1] / "vectors" / "v2"


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def cases(vectors: list[dict[str, Any]], *names: str) -> list[Any]:
    return [pytest.param(v, id="-".join(str(v[n]) for n in names)) for v in vectors]


def meets(kind: str, action: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        action()
    assert caught.value.kind == kind, str(caught.value)
    return caught.value


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


RECORD = load("record")
KEY = load("key")
SEALING = load("sealing")
LEAF = load("leaf")
TREE = load("tree")
PACKED = load("packed")
HEAD = load("head")
RECEIPT = load("receipt")
BINDING, TASKS = load("binding"), load("tasks")
BUNDLE = load("bundle")
TRUST = load("trust")


@pytest.mark.parametrize("vector", cases(RECORD["valid"], "name"))
def test_a_record_encodes_again_to_the_same_bytes(vector: dict[str, Any]) -> None:
    data = unhex(vector["encoded"])
    value = record.decode_record(data)
    assert cbor.encode(value) == data
    assert b"\xb6" + b"".join(record.fields_of(value)) == data
    assert list(value) == list(record.ORDER)
    if value["price"] is not None:
        assert record.charge_of(value["price"], value["usage"]) == value["price"]["charge_micros"]


@pytest.mark.parametrize("vector", cases(RECORD["invalid"], "fault"))
def test_bytes_that_are_no_record(vector: dict[str, Any]) -> None:
    error = meets(vector["error"], lambda: record.decode_record(unhex(vector["encoded"])))
    if vector["error"] == errors.RECORD:
        assert error.param


@pytest.mark.parametrize("vector", KEY["wallets"])
def test_a_wallet(vector: dict[str, Any]) -> None:
    key = keyfiles.read_key(keyfiles.WALLET, vector["line"])
    assert key.hex() == vector["private_key"]


def test_an_auditors_key() -> None:
    vector = KEY["auditor"]
    auditor = crypto.Auditor(keyfiles.read_key(keyfiles.AUDITOR_KEY, vector["line"]))
    assert auditor.public_key == keyfiles.read_key(keyfiles.AUDITOR_PUBLIC, vector["public_line"])
    assert auditor.public_key.hex() == vector["mlkem768_public"] + vector["x25519_public"]
    assert auditor.key_id.hex() == vector["key_id"]


@pytest.mark.parametrize("vector", cases(KEY["invalid"], "fault"))
def test_lines_that_are_no_key(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: keyfiles.read_key(vector["kind"], vector["line"]))


def unwrap(vector: dict[str, Any]) -> bytes:
    auditor = crypto.Auditor(keyfiles.read_key(keyfiles.AUDITOR_KEY, KEY["wrap"]["auditor"]))
    return auditor.unwrap(unhex(vector["wrap"]), unhex(vector["log_id"]), vector["epoch"])


def test_an_epochs_wrap() -> None:
    assert unwrap(KEY["wrap"]).hex() == KEY["wrap"]["epoch_key"]
    assert (VECTORS / "wrap.hex").read_text().strip() == KEY["wrap"]["wrap"]


@pytest.mark.parametrize("vector", cases(KEY["wrap"]["invalid"], "fault"))
def test_wraps_that_do_not_open(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: unwrap(vector))


def open_vector(vector: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    secret, log_id, root = unhex(vector["secret"]), unhex(vector["log_id"]), unhex(vector["fields_root"])
    return sealing.open_sealed(secret, log_id, vector["index"], vector["epoch"], root, unhex(vector["sealed"]))


@pytest.mark.parametrize("vector", cases(SEALING["valid"], "name"))
def test_a_sealed_record(vector: dict[str, Any]) -> None:
    epoch_key, log_id, nonce = unhex(vector["epoch_key"]), unhex(vector["log_id"]), unhex(vector["nonce"])
    sealed, root = unhex(vector["sealed"]), unhex(vector["fields_root"])
    value, data = open_vector(vector)
    assert data.hex() == vector["record"]
    assert sealing.header_of(sealed)[2] == nonce
    assert crypto.seal_nonce(epoch_key, log_id, vector["index"], unhex(vector["fresh"]), data) == nonce
    secret = crypto.record_secret(epoch_key, log_id, vector["index"], nonce, unhex(vector["vault"]))
    assert secret.hex() == vector["secret"]
    assert tree.leaf_hash(log_id, vector["index"], root, sealed).hex() == vector["leaf"]
    assert sealing.request_hash(value).hex() == vector["request_hash"]
    assert sealing.response_hash(value, secret).hex() == vector["response_hash"]
    assert requests.check_binding(value, []) == []


@pytest.mark.parametrize("vector", cases(SEALING["invalid"], "fault"))
def test_sealed_records_that_do_not_open(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: open_vector(vector))


def test_the_dictionary() -> None:
    assert sealing.dictionary().hex() == SEALING["dictionary"]
    data = sealing.decompress(unhex(SEALING["compressed"]), record.MAX_RECORD)
    assert data.hex() == SEALING["valid"][0]["record"]


@pytest.mark.parametrize(("size", "padded"), SEALING["padme"])
def test_padme(size: int, padded: int) -> None:
    assert sealing.padme(size) == padded


def disclose(vector: dict[str, Any]) -> dict[str, Any]:
    fields = {name: (unhex(part["field"]), unhex(part["salt"])) for name, part in vector["fields"].items()}
    return sealing.read_disclosure(
        unhex(SEALING["disclosure"]["fields_root"]), list(map(unhex, vector["commitments"])), fields
    )


def test_a_disclosure() -> None:
    first = record.decode_record(unhex(SEALING["valid"][0]["record"]))
    assert disclose(SEALING["disclosure"]) == {name: first[name] for name in SEALING["disclosure"]["fields"]}


@pytest.mark.parametrize("vector", cases(SEALING["disclosure"]["invalid"], "fault"))
def test_disclosures_that_prove_nothing(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: disclose(vector))


def open_blob(vector: dict[str, Any]) -> bytes:
    reference = {k: v if isinstance(v, int) else unhex(v) for k, v in vector["ref"].items()}
    return sealing.open_blob(unhex(vector["secret"]), reference, unhex(vector["ciphertext"]))


def test_a_blob() -> None:
    vector = SEALING["blob"]
    value = open_blob(vector)
    assert (len(value), crypto.keccak(value).hex()) == (vector["value_length"], vector["value_digest"])
    opened, _ = open_vector(vector)
    secret = unhex(vector["secret"])
    whole, missing = sealing.whole_record(opened, secret, {})
    assert missing == [vector["field"]]
    blob = unhex(vector["ciphertext"])
    whole, missing = sealing.whole_record(opened, secret, {crypto.keccak(blob): blob})
    assert missing == []
    assert cbor.encode(whole[vector["field"]]) == value
    assert sealing.request_hash(whole).hex() == vector["request_hash"]
    assert sealing.response_hash(whole, secret).hex() == vector["response_hash"]


@pytest.mark.parametrize("vector", cases(SEALING["blob"]["invalid"], "fault"))
def test_blobs_that_do_not_open(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: open_blob(vector))


def leaf(vector: dict[str, Any]) -> bytes:
    return tree.leaf_hash(unhex(LEAF["log_id"]), vector["index"], unhex(vector["fields_root"]), unhex(vector["sealed"]))


@pytest.mark.parametrize("vector", cases(LEAF["leaves"], "index"))
def test_a_leaf(vector: dict[str, Any]) -> None:
    assert leaf(vector).hex() == vector["leaf"]


@pytest.mark.parametrize("vector", cases(LEAF["invalid"], "fault"))
def test_what_has_no_leaf(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: leaf(vector))


@pytest.mark.parametrize("vector", cases(TREE["valid"], "size"))
def test_a_tree(vector: dict[str, Any]) -> None:
    leaves, root = list(map(unhex, vector["leaves"])), unhex(vector["root"])
    assert len(leaves) == vector["size"]
    assert tree.tree_root(leaves) == root
    for position, given in enumerate(vector["paths"]):
        path = list(map(unhex, given))
        assert tree.tree_path(leaves, position) == path
        tree.check_path(leaves[position], position, len(leaves), path, root)


@pytest.mark.parametrize("vector", cases(TREE["invalid"], "fault"))
def test_paths_that_prove_nothing(vector: dict[str, Any]) -> None:
    path = list(map(unhex, vector["path"]))
    meets(
        vector["error"],
        lambda: tree.check_path(unhex(vector["leaf"]), vector["position"], vector["size"], path, unhex(vector["root"])),
    )


def test_packed_records() -> None:
    for vector in PACKED["valid"]:
        packed = unhex(vector["packed"])
        records = tree.unpack(packed)
        assert tree.pack(records) == packed
        given = [(unhex(r["fields_root"]), unhex(r["sealed"])) for r in vector["records"]]
        assert [(r.fields_root, r.sealed) for r in records] == given
        log_id = unhex(LEAF["log_id"])
        leaves = [tree.leaf_hash(log_id, r["index"], *part) for r, part in zip(vector["records"], given, strict=True)]
        assert [part.hex() for part in leaves] == [r["leaf"] for r in vector["records"]]
        assert tree.tree_root(leaves).hex() == vector["root"]


@pytest.mark.parametrize("vector", cases(PACKED["invalid"], "fault"))
def test_bytes_that_are_no_packed_records(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: tree.unpack(unhex(vector["packed"])))


def test_a_logs_identifier_and_heads() -> None:
    terms = {name: value if isinstance(value, int) else unhex(value) for name, value in HEAD["terms"].items()}
    assert tree.Terms(**terms).log_id(HEAD["chain_id"], unhex(HEAD["contract"])).hex() == HEAD["log_id"]
    head = unhex(HEAD["log_id"])
    for position, entry in enumerate(HEAD["entries"]):
        assert entry["previous"] == head.hex()
        assert entry["entry"] == position
        head = tree.next_head(head, entry["kind"], entry["entry"], unhex(entry["body"]))
        assert entry["head"] == head.hex(), entry["name"]
    epoch = tree.epoch_body(1, 0, unhex(HEAD["wraps"]))
    assert epoch.hex() == HEAD["entries"][0]["body"]


@pytest.mark.parametrize("vector", cases(RECEIPT["valid"], "kind"))
def test_a_signed_message(vector: dict[str, Any]) -> None:
    message = messages.read_message(json.dumps(vector["json"]))
    assert message.kind == vector["kind"]
    assert message.digest.hex() == vector["digest"]


@pytest.mark.parametrize("vector", cases(RECEIPT["invalid"], "kind", "fault"))
def test_messages_that_nobody_signed(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: messages.read_message(json.dumps(vector["json"])))


def test_a_signed_request() -> None:
    vector = RECEIPT["request"]
    contract = unhex(vector["domain"]["contract"])
    request = (vector["method"], vector["target"], vector["content_type"], unhex(vector["body"]))
    digest = messages.request_digest(
        vector["domain"]["chain_id"],
        contract,
        unhex(vector["log_id"]),
        request,
        unhex(vector["nonce"]),
        vector["deadline"],
    )
    assert digest.hex() == vector["digest"]
    assert crypto.signer(digest, unhex(vector["signature"])) == unhex(vector["sender"])


def test_an_attestations_digest() -> None:
    vector = RECEIPT["bundle"]
    domain = RECEIPT["request"]["domain"]
    digest = messages.bundle_digest(domain["chain_id"], unhex(domain["contract"]), unhex(vector["content_hash"]))
    assert digest.hex() == vector["digest"]


def read(vector: dict[str, Any]) -> requests.Read:
    return requests.read_request(
        vector["reader"], vector["method"], vector["target"], vector["content_type"], unhex(vector["body"])
    )


@pytest.mark.parametrize("vector", cases(BINDING["requests"] + TASKS["requests"], "name"))
def test_a_request_and_its_reader(vector: dict[str, Any]) -> None:
    digest = sealing.request_digest(vector["method"], vector["target"], vector["content_type"], unhex(vector["body"]))
    assert digest.hex() == vector["digest"]
    hashed = crypto.keccak(b"\x02", unhex(BINDING["request_salt"]), digest)
    assert hashed.hex() == vector["request_hash"]
    found = read(vector)
    for name in ("prompt", "system", "asked", "model"):
        assert requests.same(getattr(found, name), vector[name]), name
    assert found.template == vector.get("chat_template")


@pytest.mark.parametrize("vector", cases(BINDING["refused"] + TASKS["refused"], "fault"))
def test_requests_that_their_reader_refuses(vector: dict[str, Any]) -> None:
    assert meets(vector["error"], lambda: read(vector)).param == vector["param"]


@pytest.mark.parametrize("vector", cases(BINDING["responses"], "name"))
def test_a_responses_hash(vector: dict[str, Any]) -> None:
    data = unhex(vector["encoded"])
    value = cbor.decode(data)
    assert cbor.encode(value) == data
    hashed = sealing.hash_response(unhex(BINDING["response_salt"]), value["error"], value["outputs"])
    assert hashed.hex() == vector["response_hash"]


@pytest.mark.parametrize("vector", cases(BINDING["answers"] + TASKS["answers"], "name"))
def test_an_answer_leads_to_the_hash(vector: dict[str, Any]) -> None:
    parse = requests.read_stream if vector["streamed"] else requests.read_answer
    hashed = sealing.hash_response(unhex(BINDING["response_salt"]), *parse(vector["file"].encode()))
    assert hashed.hex() == vector["response_hash"]


@pytest.mark.parametrize("vector", cases(BUNDLE["valid"], "name"))
def test_a_bundle(vector: dict[str, Any]) -> None:
    report = read_bundle(vector["file"].encode())
    assert report.problems == []
    assert report.unchecked == []
    assert report.attester == unhex(vector["attester"])
    assert report.terms.writer == unhex(BUNDLE["writer"])
    document = json.loads(vector["file"])
    assert (report.record is not None) == ("record_secret" in document)
    assert set(report.disclosed) == set(document.get("disclosed", {}).get("fields", {}))


@pytest.mark.parametrize("vector", cases(BUNDLE["formatted"], "formatting"))
def test_a_bundle_in_another_formatting(vector: dict[str, Any]) -> None:
    report = read_bundle(vector["file"].encode())
    assert report.problems == []
    assert report.content_hash == read_bundle(BUNDLE["formatted"][0]["file"].encode()).content_hash


@pytest.mark.parametrize("vector", cases(BUNDLE["invalid"], "fault"))
def test_files_that_are_no_bundle(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: read_bundle(vector["file"].encode()))


@pytest.mark.parametrize("vector", cases(TRUST["valid"], "name"))
def test_a_file_of_trusted_logs(vector: dict[str, Any]) -> None:
    trust.read_trust(vector["file"])


@pytest.mark.parametrize("vector", cases(TRUST["invalid"], "fault"))
def test_files_that_trust_nothing(vector: dict[str, Any]) -> None:
    meets(vector["error"], lambda: trust.read_trust(vector["file"]))


def test_every_vector_file_is_read() -> None:
    read_here = {
        "binding",
        "bundle",
        "head",
        "key",
        "leaf",
        "packed",
        "receipt",
        "record",
        "sealing",
        "tasks",
        "tree",
        "trust",
        "wrap",
    }
    assert {path.stem for path in VECTORS.iterdir()} == read_here
    assert base64.b64encode(sealing.dictionary())[:8] == b"QW5zd2Vy"
