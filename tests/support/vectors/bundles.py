"""Vectors of evidence bundles (SPEC 8)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tallystick.bundle import Anchor, Bundle, Evidence, sign_evidence
from tallystick.hashing import keccak256
from tallystick.ids import Head, to_hex
from tallystick.merkle import inclusion_path, next_head, tree_root
from tallystick.receipts import Receipt, sign_receipt
from tallystick.sealing import disclose, open_sealed, seal
from tests.support.vectors.cast import DOMAIN, EPOCH_KEY, LOG_ID, WRITER, whole_record


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
