"""Writes the test vectors of the ledger format, version 1, to tests/vectors/v1/ (or compares them: --check).

The vectors are frozen: this script must reproduce them byte for byte, and a difference is a defect of the code, never a reason to write
them anew. Everything follows from fixed keys. Each invalid vector has exactly one fault, named, and the kind of error that it must meet.
The sealed bytes also depend on the pinned zstd: another one may compress differently, and what it makes opens all the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2

from tallystick.bundle import Anchor, Bundle, Evidence, sign_evidence
from tallystick.compression import compress
from tallystick.encoding import encode_record
from tallystick.hashing import keccak256
from tallystick.ids import Address, FieldsRoot, Head, LogId, RecordId, to_hex
from tallystick.keys import AuditorKey, EpochKey, Wallet
from tallystick.merkle import inclusion_path, leaf_hash, next_head, tree_root
from tallystick.receipts import (
    AdmissionReceipt,
    Domain,
    Receipt,
    admission_digest,
    receipt_digest,
    response_hash,
    sign_admission,
    sign_receipt,
)
from tallystick.record import (
    Choice,
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Price,
    ProofOfCompute,
    Provider,
    Record,
    RecordFault,
    RecordTime,
    Response,
    Sender,
    State,
    Usage,
    charge_micros,
)
from tallystick.sealing import disclose, open_sealed, record_secret, seal

FOLDER = Path(__file__).parents[1] / "tests" / "vectors" / "v1"

WRITER = Wallet(keccak256(b"tallystick vector: writer"))
SENDER = Wallet(keccak256(b"tallystick vector: sender"))
LOG_ID = LogId(keccak256(b"tallystick vector: log"))
DOMAIN = Domain(chain_id=73_571, contract=Address(keccak256(b"tallystick vector: contract")[:20]))
EPOCH_KEY = EpochKey(LOG_ID, 3, keccak256(b"tallystick vector: epoch"))
AUDITOR = AuditorKey(
    keccak256(b"tallystick vector: ml-kem 1") + keccak256(b"tallystick vector: ml-kem 2"),
    keccak256(b"tallystick vector: x25519"),
)
# HPKE draws randomness, so this wrap of EPOCH_KEY was made once; what is tested is that it opens.
FROZEN_WRAP = FOLDER / "wrap.hex"


def whole_record() -> Record:
    """A chat request with every field set."""
    answer = "A tally stick records a debt: it was split, and each side kept half."
    return Record(
        id=RecordId(bytes.fromhex("019a9b0c1d2e7abc8def0123456789ab")),
        admission_seq=43,
        sender_seq=7,
        task="chat",
        state=State.COMPLETED,
        error=None,
        time=RecordTime(
            admitted_at=1_763_700_000_000_000, started_at=1_763_700_000_004_000, finished_at=1_763_700_000_904_000
        ),
        http=HttpExchange(
            method="POST",
            path="/v1/chat/completions",
            request_hash=keccak256(b"request"),
            response_hash=response_hash([answer.encode()]),
            streamed=True,
        ),
        gpu=Gpu(
            kind="gpu",
            name="NVIDIA H200",
            uuid="GPU-00000000-0000-0000-0000-000000000001",
            count=1,
            memory_bytes=150_754_820_096,
            driver="570.86.15",
        ),
        provider=Provider(id="local", name="Local provider", address=WRITER.address),
        price=Price(
            per_hour_micros=3_500_000,
            currency="USD",
            device_time_us=900_000,
            charge_micros=charge_micros(3_500_000, 900_000),
        ),
        model=Model(
            id="smollm2-135m-instruct",
            version="1",
            weights_digest=keccak256(b"weights"),
            engine="tallystick-audit",
            engine_version="1",
            dtype="float32",
            quantisation="Q4_1, dequantised",
            device="cuda",
        ),
        parameters={"temperature": 0.7, "top_p": 0.95, "top_k": 50, "max_tokens": 60, "seed": 11, "stop": ["\n\n"]},
        prompt={"messages": [{"role": "user", "content": "What is a tally stick? \u00e9\u4e2d\U0001f33f"}]},
        instructions=Instructions(system="Be brief.", chat_template=None, chat_template_digest=keccak256(b"template")),
        response=Response(choices=(Choice(index=0, text=answer, finish_reason="stop"),)),
        usage=Usage(input_tokens=31, output_tokens=18),
        sender=Sender(address=SENDER.address, proof="token", token_id="vector", signature=None),  # noqa: S106 - an id
        proof_of_compute=ProofOfCompute(class_="reproducible", toploc=None),
    )


def bare_record() -> Record:
    """A request that the process did not outlive: everything that may be null is."""
    record = whole_record()
    return replace(
        record,
        admission_seq=44,
        sender_seq=8,
        state=State.INTERRUPTED,
        error=RecordFault(code="interrupted", message="The process ended before the record was committed."),
        time=replace(record.time, started_at=None),
        http=replace(record.http, response_hash=None, streamed=False),
        gpu=None,
        provider=None,
        price=None,
        model=None,
        parameters={},
        prompt=None,
        instructions=None,
        response=None,
        usage=None,
        proof_of_compute=None,
    )


RECORDS = {"every field set": whole_record(), "every optional field null": bare_record()}


def record_vectors() -> dict[str, Any]:
    """Encodings, and bytes that are the canonical encoding of nothing."""
    data = encode_record(whole_record())
    tree = cbor2.loads(data)
    key_v = bytes.fromhex("6176")
    empty_null = replace(bare_record(), parameters={})

    def changed(**fields: object) -> bytes:
        return cbor2.dumps({**tree, **fields}, canonical=True)

    def without(name: str) -> bytes:
        return cbor2.dumps({k: v for k, v in tree.items() if k != name}, canonical=True)

    shuffled = dict(sorted(tree.items(), key=lambda item: item[0]))
    long_one = data.replace(key_v + b"\x01", key_v + b"\x18\x01", 1)
    invalid = [
        ("empty", b"", "EncodingError"),
        ("bytes after the map", data + b"\x00", "EncodingError"),
        ("cut short", data[:-1], "EncodingError"),
        ("keys sorted as text, not by length first", cbor2.dumps(shuffled), "EncodingError"),
        ("an integer not in its shortest form", long_one, "RecordError|EncodingError"),
        ("an indefinite-length map", b"\xbf" + data[1:] + b"\xff", "EncodingError"),
        ("a list instead of a map", cbor2.dumps([1, 2]), "EncodingError"),
        ("a tag", cbor2.dumps(cbor2.CBORTag(55799, tree), canonical=True), "EncodingError"),
        ("unknown version", changed(v=2), "RecordError"),
        ("version as true", changed(v=True), "RecordError"),
        ("a field missing", without("usage"), "RecordError"),
        ("a field too many", changed(colour="red"), "RecordError"),
        ("unknown state", changed(state="done"), "RecordError"),
        ("sequence number zero", changed(sender_seq=0), "RecordError"),
        ("negative time", changed(time={**tree["time"], "admitted_at": -1}), "RecordError"),
        ("a hash of 31 bytes", changed(http={**tree["http"], "request_hash": bytes(31)}), "RecordError"),
        ("an id that is no UUIDv7", changed(id=bytes(16)), "RecordError"),
        ("text as bytes", changed(task=b"chat"), "RecordError"),
        ("not a number", changed(parameters={"temperature": float("nan")}), "RecordError|EncodingError"),
        (
            "a choice out of place",
            changed(response={"choices": [{**tree["response"]["choices"][0], "index": 1}]}),
            "RecordError",
        ),
        ("a float64 where a float16 is enough", _long_float(empty_null), "EncodingError"),
        ("the same key twice", _duplicate_key(data), "EncodingError"),
    ]
    return {
        "valid": [{"name": name, "encoded": encode_record(record).hex()} for name, record in RECORDS.items()],
        "invalid": [{"fault": fault, "encoded": raw.hex(), "error": error} for fault, raw, error in invalid],
    }


def _long_float(record: Record) -> bytes:
    data = encode_record(replace(record, parameters={"top_p": 0.5}))
    return data.replace(bytes.fromhex("65746f705f70f93800"), bytes.fromhex("65746f705f70fb3fe0000000000000"))


def _duplicate_key(data: bytes) -> bytes:
    return b"\xb5" + data[1:] + bytes.fromhex("617601")


def sealing_vectors() -> dict[str, Any]:
    """Sealed records with the secrets that open them, and one fault each."""
    valid: list[dict[str, Any]] = []
    invalid: list[dict[str, Any]] = []
    for index, (name, record) in enumerate(RECORDS.items(), start=40):
        for custody, nonce in (("chain", b""), ("vault", keccak256(b"custody"))):
            sealed = seal(record, epoch_key=EPOCH_KEY, index=index, custody_nonce=nonce)
            valid.append(
                {
                    "name": f"{name}, {custody} custody",
                    "log_id": LOG_ID.hex(),
                    "index": index,
                    "epoch": 3,
                    "epoch_key": EPOCH_KEY.secret.hex(),
                    "custody_nonce": nonce.hex(),
                    "secret": sealed.secret.hex(),
                    "fields_root": sealed.fields_root.hex(),
                    "leaf": sealed.leaf.hex(),
                    "sealed": sealed.sealed.hex(),
                    "record": encode_record(record).hex(),
                }
            )
    good = valid[0]
    raw = bytes.fromhex(good["sealed"])
    faults: list[tuple[str, dict[str, Any]]] = [
        ("version 2", {"sealed": (b"\x02" + raw[1:]).hex()}),
        ("unknown flags", {"sealed": (raw[:1] + b"\x02" + raw[2:]).hex()}),
        ("another custody flag", {"sealed": (raw[:1] + b"\x01" + raw[2:]).hex()}),
        ("epoch zero", {"sealed": (raw[:2] + bytes(4) + raw[6:]).hex()}),
        ("another epoch in the header", {"sealed": (raw[:5] + b"\x04" + raw[6:]).hex()}),
        ("one bit of the ciphertext", {"sealed": _flip(raw, 20).hex()}),
        ("one bit of the tag", {"sealed": _flip(raw, len(raw) - 1).hex()}),
        ("cut short", {"sealed": raw[:-1].hex()}),
        ("nothing but a header", {"sealed": raw[:6].hex()}),
        ("another index", {"index": good["index"] + 1}),
        ("another log", {"log_id": keccak256(b"another log").hex()}),
        ("another fields root", {"fields_root": _flip(bytes.fromhex(good["fields_root"]), 0).hex()}),
        ("another secret", {"secret": record_secret(EPOCH_KEY, good["index"] + 1).hex()}),
    ]
    for fault, changes in faults:
        part = {key: good[key] for key in ("log_id", "index", "secret", "fields_root", "sealed")}
        invalid.append({"fault": fault, **part, **changes, "error": "OpenError"})
    return {
        "compressed": compress(encode_record(whole_record())).hex(),
        "valid": valid,
        "invalid": invalid,
        "wrap": {
            "auditor_key": AUDITOR.to_text(),
            "auditor_public": AUDITOR.public.to_text(),
            "key_id": AUDITOR.key_id.hex(),
            "log_id": LOG_ID.hex(),
            "epoch": 3,
            "wrap": FROZEN_WRAP.read_text().strip(),
            "epoch_key": EPOCH_KEY.secret.hex(),
        },
        "disclosure": _disclosure_vector(),
    }


def _disclosure_vector() -> dict[str, Any]:
    sealed = seal(whole_record(), epoch_key=EPOCH_KEY, index=40)
    opened = open_sealed(sealed.sealed, log_id=LOG_ID, index=40, fields_root=sealed.fields_root, secret=sealed.secret)
    shown = disclose(opened, ["model", "price"])
    return {
        "fields_root": sealed.fields_root.hex(),
        "fields": {
            name: {"field": f.field_bytes.hex(), "salt": f.salt.hex(), "path": [part.hex() for part in f.path]}
            for name, f in shown.fields.items()
        },
    }


def leaf_vectors() -> dict[str, Any]:
    """Leaves and heads."""
    leaves, head, heads = [], Head(LOG_ID), []
    for index in (0, 1, 255, 2**32, 2**53 - 1):
        fields_root = FieldsRoot(keccak256(f"fields {index}".encode()))
        sealed = f"sealed {index}".encode()
        leaf = leaf_hash(LOG_ID, index, fields_root, sealed)
        leaves.append({"index": index, "fields_root": fields_root.hex(), "sealed": sealed.hex(), "leaf": leaf.hex()})
    first = 0
    for count in (1, 3, 1024):
        root = tree_root([keccak256(bytes((count % 256, n % 256, n // 256))) for n in range(count)])
        after = next_head(head, root, first, count)
        heads.append(
            {"previous": head.hex(), "root": root.hex(), "first_index": first, "count": count, "head": after.hex()}
        )
        head, first = after, first + count
    return {"log_id": LOG_ID.hex(), "leaves": leaves, "heads": heads}


def tree_vectors() -> dict[str, Any]:
    """Roots and paths, and paths with one fault."""
    valid: list[dict[str, Any]] = []
    invalid: list[dict[str, Any]] = []
    for size in (1, 2, 3, 4, 5, 7, 8, 9, 16, 33):
        leaves = [keccak256(b"leaf" + bytes((n,))) for n in range(size)]
        root = tree_root(leaves)
        paths = [[part.hex() for part in inclusion_path(leaves, at)] for at in range(size)]
        valid.append({"size": size, "leaves": [leaf.hex() for leaf in leaves], "root": root.hex(), "paths": paths})
    leaves = [keccak256(b"leaf" + bytes((n,))) for n in range(7)]
    path = inclusion_path(leaves, 4)
    probe = {
        "leaf": leaves[4].hex(),
        "position": 4,
        "size": 7,
        "path": [p.hex() for p in path],
        "root": tree_root(leaves).hex(),
    }
    faults: list[tuple[str, dict[str, Any], str]] = [
        ("another leaf", {"leaf": leaves[5].hex()}, "another root"),
        ("another position", {"position": 5}, "another root"),
        ("a size with a longer path", {"size": 9}, "MerkleError"),
        ("a size with a shorter path", {"size": 5}, "MerkleError"),
        ("position outside the tree", {"position": 7}, "MerkleError"),
        ("size zero", {"size": 0, "position": 0}, "MerkleError"),
        ("size beyond a batch", {"size": 1025}, "MerkleError"),
        ("a part missing", {"path": [p.hex() for p in path[:-1]]}, "MerkleError"),
        ("a part too many", {"path": [p.hex() for p in [*path, leaves[0]]]}, "MerkleError"),
        ("two parts swapped", {"path": [p.hex() for p in [path[1], path[0], *path[2:]]]}, "another root"),
        ("a part of 31 bytes", {"path": [path[0][:31].hex(), *[p.hex() for p in path[1:]]]}, "MerkleError"),
    ]
    for fault, changes, error in faults:
        invalid.append({"fault": fault, **probe, **changes, "error": error})
    return {"valid": valid, "invalid": invalid}


def receipt_vectors() -> dict[str, Any]:
    """Receipts, admissions, their digests, and JSON with one fault."""
    receipt = Receipt(
        log_id=LOG_ID,
        index=40,
        leaf=seal(whole_record(), epoch_key=EPOCH_KEY, index=40).leaf,
        request_hash=keccak256(b"request"),
        response_hash=response_hash([b"answer"]),
        issued_at=1_763_700_001,
        anchor_by=1_763_703_601,
    )
    admission = AdmissionReceipt(
        log_id=LOG_ID,
        record_id=whole_record().id,
        sender=SENDER.address,
        sender_seq=7,
        request_hash=keccak256(b"request"),
        admitted_at=1_763_700_000,
        anchor_by=1_763_703_600,
    )
    signed, promised = sign_receipt(WRITER, DOMAIN, receipt), sign_admission(WRITER, DOMAIN, admission)
    good: dict[str, Any] = signed.to_json()
    signature = bytes.fromhex(str(good["signature"])[2:])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high_s = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    inner: dict[str, Any] = dict(good["receipt"])
    faults: list[tuple[str, dict[str, Any], str]] = [
        ("index changed", {"receipt": {**inner, "index": 41}}, "ReceiptFormatError"),
        ("leaf changed", {"receipt": {**inner, "leaf": to_hex(keccak256(b"x"))}}, "ReceiptFormatError"),
        ("deadline changed", {"receipt": {**inner, "anchor_by": 1}}, "ReceiptFormatError"),
        ("another chain", {"domain": {"chain_id": 1, "contract": good["domain"]["contract"]}}, "ReceiptFormatError"),
        ("another signer named", {"signer": "0x" + "11" * 20}, "ReceiptFormatError"),
        ("a member missing", {"receipt": {k: v for k, v in inner.items() if k != "leaf"}}, "ReceiptFormatError"),
        ("a member too many", {"colour": "red"}, "ReceiptFormatError"),
        ("index as text", {"receipt": {**inner, "index": "40"}}, "ReceiptFormatError"),
        ("v of 0", {"signature": to_hex(signature[:64] + b"\x00")}, "SignatureError"),
        (
            "s in the upper half",
            {"signature": to_hex(signature[:32] + high_s + bytes((55 - signature[64],)))},
            "SignatureError",
        ),
        ("64 bytes of signature", {"signature": to_hex(signature[:64])}, "ReceiptFormatError"),
    ]
    return {
        "writer_key": WRITER.secret.hex(),
        "valid": [
            {"kind": "receipt", "digest": receipt_digest(DOMAIN, receipt).hex(), "json": good},
            {"kind": "admission", "digest": admission_digest(DOMAIN, admission).hex(), "json": promised.to_json()},
        ],
        "invalid": [{"fault": fault, "json": {**good, **changes}, "error": error} for fault, changes, error in faults],
    }


def bundle_vectors() -> dict[str, Any]:
    """Bundle files as text, and files with one fault."""
    sealed = seal(whole_record(), epoch_key=EPOCH_KEY, index=40)
    receipt = sign_receipt(
        WRITER,
        DOMAIN,
        Receipt(
            log_id=LOG_ID,
            index=40,
            leaf=sealed.leaf,
            request_hash=whole_record().http.request_hash,
            response_hash=whole_record().http.response_hash or b"",
            issued_at=1_763_700_001,
            anchor_by=1_763_703_601,
        ),
    )
    leaves = [keccak256(b"before 0"), keccak256(b"before 1"), sealed.leaf]
    root, before = tree_root(leaves), Head(keccak256(b"previous head"))
    anchor = Anchor(
        batch=5,
        first_index=38,
        count=3,
        root=root,
        path=tuple(inclusion_path(leaves, 2)),
        previous_head=before,
        head=next_head(before, root, 38, 3),
        tx_hash=keccak256(b"transaction"),
        block_number=17,
        block_hash=keccak256(b"block"),
        block_time=1_763_700_003,
    )
    evidence = Evidence(
        domain=DOMAIN,
        log_id=LOG_ID,
        index=40,
        epoch=3,
        fields_root=sealed.fields_root,
        sealed=sealed.sealed,
        receipt=receipt,
        anchor=anchor,
    )
    waiting = replace(evidence, anchor=None)
    attestation = sign_evidence(WRITER, evidence)
    opened = open_sealed(sealed.sealed, log_id=LOG_ID, index=40, fields_root=sealed.fields_root, secret=sealed.secret)
    bundles = {
        "with the record's secret": Bundle(evidence=evidence, attestation=attestation, record_secret=sealed.secret),
        "with three fields disclosed": Bundle(
            evidence=evidence, attestation=attestation, disclosed=disclose(opened, ["gpu", "model", "price"])
        ),
        "sealed": Bundle(evidence=evidence, attestation=attestation),
        "not yet anchored": Bundle(
            evidence=waiting, attestation=sign_evidence(WRITER, waiting), record_secret=sealed.secret
        ),
    }
    good = bundles["with the record's secret"].to_bytes().decode()
    document = json.loads(good)
    no_leaf = {**document, "evidence": {k: v for k, v in document["evidence"].items() if k != "index"}}
    compact = {"separators": (",", ":"), "sort_keys": True}
    invalid = [
        ("a newline at the end", good + "\n"),
        ("a space between members", good.replace(",", ", ", 1)),
        ("members in another order", json.dumps(dict(reversed(document.items())), separators=(",", ":"))),
        ("a digit in upper case", good.replace("0x0", "0X0", 1)),
        ("the same member twice", good[:-1] + ',"record_secret":"' + document["record_secret"] + '"}'),
        ("another format", good.replace("tallystick/bundle/v1", "tallystick/bundle/v2")),
        ("a member missing", json.dumps(no_leaf, **compact)),  # type: ignore[arg-type]
        ("a member too many", json.dumps({**document, "zzz": 1}, **compact)),  # type: ignore[arg-type]
        ("not JSON", good[:-1]),
        ("a list", "[]"),
    ]
    return {
        "writer": to_hex(WRITER.address),
        "valid": [{"name": name, "file": bundle.to_bytes().decode()} for name, bundle in bundles.items()],
        "invalid": [{"fault": fault, "file": text, "error": "BundleError"} for fault, text in invalid],
    }


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


FILES = {
    "record.json": record_vectors,
    "sealing.json": sealing_vectors,
    "leaf.json": leaf_vectors,
    "tree.json": tree_vectors,
    "receipt.json": receipt_vectors,
    "bundle.json": bundle_vectors,
}


def render() -> dict[str, str]:
    """Every file's text."""
    return {name: json.dumps(make(), indent=1, ensure_ascii=True) + "\n" for name, make in FILES.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the frozen files, write nothing")
    check: bool = parser.parse_args().check
    differing = []
    for name, text in render().items():
        path = FOLDER / name
        if check:
            if not path.exists() or path.read_text() != text:
                differing.append(name)
        else:
            path.write_text(text)
    if differing:
        print(f"these differ from the frozen vectors: {', '.join(differing)}", file=sys.stderr)
        return 1
    print("the vectors are as frozen" if check else f"written to {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
