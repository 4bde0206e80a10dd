"""The second reader and the product's verifier read the kept log alike, and both find what is changed in it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.artefacts import FOLDER, KeptLog, kept_log, secret
from tests.support.stranger import read_bundle, read_log

MESSAGES = ("receipt.json", "admission.json", "head.json", "erasure.json")


@pytest.fixture(scope="module")
def kept() -> Iterator[KeptLog]:
    with kept_log() as log:
        yield log


def blobs() -> dict[bytes, bytes]:
    return {bytes.fromhex(path.name): path.read_bytes() for path in (FOLDER / "blobs").iterdir()}


def read(kept: KeptLog, **changes: object) -> object:
    wanted: dict[str, object] = {
        "blobs": blobs(),
        "messages": [(FOLDER / name).read_text() for name in MESSAGES],
        **changes,
    }
    document = kept.document
    return read_log(kept.transport.call, document["contract"], document["log_id"], secret("auditor_seed"), **wanted)


def test_the_second_reader_finds_nothing_wrong_with_the_kept_log(kept: KeptLog) -> None:
    report = read(kept)
    document = kept.document
    assert report.problems == []
    assert (report.size, report.entries, "0x" + report.head.hex()) == (
        document["size"],
        document["entries"],
        document["head"],
    )


def test_it_names_what_it_could_not_check(kept: KeptLog) -> None:
    assert any("blob" in sentence for sentence in read(kept, blobs={}).unchecked)


def test_it_finds_an_admission_that_the_log_contradicts(kept: KeptLog) -> None:
    admission = json.loads((FOLDER / "admission.json").read_bytes())
    admission["admission"]["record_by"] += 1
    assert read(kept, messages=[json.dumps(admission)]).problems


def test_it_finds_a_changed_event(kept: KeptLog) -> None:
    def lying(method: str, params: list[object]) -> object:
        answer = kept.transport.call(method, params)
        if method != "eth_getLogs":
            return answer
        assert isinstance(answer, list)
        return [
            {**event, "data": event["data"][:-2] + ("00" if event["data"][-2:] != "00" else "01")} for event in answer
        ]

    document = kept.document
    report = read_log(lying, document["contract"], document["log_id"], secret("auditor_seed"), blobs=blobs())
    assert report.problems


@pytest.mark.parametrize("name", ["bundle.json", "bundle-disclosed.json", "bundle-next-writer.json"])
def test_it_reads_the_kept_bundles(name: str) -> None:
    assert read_bundle((FOLDER / name).read_bytes()).problems == []
