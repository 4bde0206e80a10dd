"""Vectors of evidence bundles (SPEC 9)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tallystick.bundle.evidence import Anchor, Bundle, Evidence, sign_evidence
from tallystick.hashing import keccak256
from tallystick.heads import EntryKind, batch_body, next_head
from tallystick.ids import Head, to_hex
from tallystick.merkle import inclusion_path, tree_root
from tallystick.sealing import disclose, open_sealed
from tests.support.vectors.cast import DOMAIN, LOG_ID, TERMS, WRITER
from tests.support.vectors.receipts import INDEX, sealed_record, signed_messages

EPOCH = 3


def anchored_evidence() -> Evidence:
    """Everything about the record of the receipts, in a batch of three."""
    sealed = sealed_record()
    leaves = [keccak256(b"before 0"), keccak256(b"before 1"), sealed.leaf]
    root, before = tree_root(leaves), Head(keccak256(b"previous head"))
    first_index = INDEX - 2
    anchor = Anchor(
        entry=11,
        batch=5,
        first_index=first_index,
        count=3,
        root=root,
        path=tuple(inclusion_path(leaves, 2)),
        previous_head=before,
        head=next_head(before, EntryKind.BATCH, 11, batch_body(EPOCH, first_index, 3, root)),
        tx_hash=keccak256(b"transaction"),
        block_number=17,
        block_hash=keccak256(b"block"),
        block_time=1_763_700_003,
    )
    return Evidence(
        domain=DOMAIN,
        terms=TERMS,
        log_id=LOG_ID,
        index=INDEX,
        epoch=EPOCH,
        fields_root=sealed.fields_root,
        sealed=sealed.sealed,
        receipt=signed_messages()[0],
        anchor=anchor,
    )


def bundles() -> dict[str, Bundle]:
    """Bundles of one record, by what they show."""
    sealed, evidence = sealed_record(), anchored_evidence()
    waiting, unpromised = replace(evidence, anchor=None), replace(evidence, receipt=None)
    attestation = sign_evidence(WRITER, evidence)
    opened = open_sealed(
        sealed.sealed, log_id=LOG_ID, index=INDEX, epoch=EPOCH, fields_root=sealed.fields_root, secret=sealed.secret
    )
    return {
        "with the record's secret": Bundle(evidence=evidence, attestation=attestation, record_secret=sealed.secret),
        "with three fields disclosed": Bundle(
            evidence=evidence, attestation=attestation, disclosed=disclose(opened, ["gpu", "model", "price"])
        ),
        "sealed": Bundle(evidence=evidence, attestation=attestation),
        "not yet anchored": Bundle(
            evidence=waiting, attestation=sign_evidence(WRITER, waiting), record_secret=sealed.secret
        ),
        "without a receipt": Bundle(evidence=unpromised, attestation=sign_evidence(WRITER, unpromised)),
    }


def formattings(text: str) -> dict[str, bytes]:
    """One canonical JSON document in every formatting that a tool may give it."""
    document = json.loads(text)
    escaped = text.replace("/", "\\/", 1).replace('"e', '"\\u0065', 1)
    indented = json.dumps(document, indent=2)
    return {
        "canonical": text.encode(),
        "a newline at the end": text.encode() + b"\n",
        "white space around": b" \r\n\t" + text.encode() + b"\n\n",
        "indented": indented.encode(),
        "indented with tabs": json.dumps(document, indent="\t").encode(),
        "CRLF": indented.replace("\n", "\r\n").encode() + b"\r\n",
        "a byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "members in another order": json.dumps(_reversed(document)).encode(),
        "escapes that need not be": escaped.encode(),
    }


def bundle_vectors() -> dict[str, Any]:
    """Bundle files as text, the same in other formattings, and files with one fault."""
    found = bundles()
    good = found["with the record's secret"].to_bytes().decode()
    return {
        "writer": to_hex(WRITER.address),
        "valid": [
            {"name": name, "file": bundle.to_bytes().decode(), "attester": to_hex(WRITER.address)}
            for name, bundle in found.items()
        ],
        "formatted": [
            {"formatting": name, "file": data.decode()}
            for name, data in formattings(found["sealed"].to_bytes().decode()).items()
        ],
        "invalid": [{"fault": fault, "file": text, "error": "BundleError"} for fault, text in _faults(good)],
    }


def _faults(good: str) -> Iterator[tuple[str, str]]:
    document = json.loads(good)
    secret = document["record_secret"]

    def changed(path: str, value: object) -> str:
        copy = json.loads(good)
        *parents, last = path.split(".")
        target = copy
        for parent in parents:
            target = target[parent]
        if value is KeyError:
            del target[last]
        else:
            target[last] = value
        return json.dumps(copy, separators=(",", ":"), sort_keys=True)

    yield "the same member twice", good[:-1] + f',"record_secret":"{secret}"}}'
    yield "the same member twice inside", good.replace('"index":40', '"index":40,"index":40', 1)
    yield "not JSON", good[:-1]
    yield "something after the document", good + "{}"
    yield "a list", "[]"
    yield "NaN for a number", good.replace('"index":40', '"index":NaN')
    yield "half of a surrogate pair", good[:-1] + ',"\\ud83c":1}'
    yield "the format of version 1", changed("format", "tallystick/bundle/v1")
    yield "a member missing", changed("evidence.index", KeyError)
    yield "a member too many", changed("colour", "red")
    yield "a member too many in the evidence", changed("evidence.colour", "red")
    yield "a number as text", changed("evidence.index", "40")
    yield "a number with a fraction", changed("evidence.index", 40.5)
    yield "a number beyond 53 bits", changed("evidence.index", 2**53)
    yield (
        "a hash in upper case",
        changed("evidence.fields_root", "0x" + document["evidence"]["fields_root"][2:].upper()),
    )
    yield "an address without its checksum", changed("evidence.contract", document["evidence"]["contract"].lower())
    yield "another log", changed("evidence.log_id", to_hex(keccak256(b"another log")))
    yield "another chain", changed("evidence.chain_id", 1)
    yield "another contract", changed("evidence.contract", document["evidence"]["terms"]["keeper"])
    yield "another first writer", changed("evidence.terms.writer", document["evidence"]["terms"]["keeper"])
    yield "another promise", changed("evidence.terms.promise", 60)
    yield "a promise beyond the limit", changed("evidence.terms.promise", 2_592_001)
    yield "a mode that there is not", changed("evidence.terms.mode", 3)
    yield "a receipt by another than it names", changed("evidence.receipt.receipt.index", 41)
    yield "a path longer than any tree's", changed("evidence.anchor.path", [to_hex(bytes(32))] * 11)
    yield "a batch larger than any", changed("evidence.anchor.count", 1_025)
    yield "a sealed record shorter than any", changed("evidence.sealed", document["evidence"]["sealed"][: 2 + 2 * 41])
    yield "an attestation of 64 bytes", changed("attestation", document["attestation"][:-2])
    yield "a secret of 31 bytes", changed("record_secret", secret[:-2])


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _reversed(member) for name, member in reversed(value.items())}
    return value
