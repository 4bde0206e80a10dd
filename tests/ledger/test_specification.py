"""The specification's own figures: a page that other implementations are written from must not drift from the code."""

import json
import re
from dataclasses import asdict
from hashlib import shake_256
from pathlib import Path

import pytest

from tallystick import bundle, record, sealing
from tallystick.compression import DICTIONARY_V1, compress
from tallystick.encoding import encode_fields, encode_record
from tallystick.hashing import keccak256
from tallystick.ids import FieldsRoot
from tallystick.keys import hkdf_expand
from tests.support.vectors.cast import EPOCH_KEY, LOG_ID, whole_record

PAGE = (Path(__file__).parents[2] / "ledger" / "SPEC.md").read_text()
EXAMPLE = PAGE[PAGE.index("## An example") : PAGE.index("## 1.")]
VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "v1" / "sealing.json").read_text())["valid"][0]


def example(name: str) -> str:
    """A value of the example, its lines joined."""
    found = re.search(rf"^    {name} +([0-9a-f]+(?:\n {{19}}[0-9a-f]+)*)", EXAMPLE, re.MULTILINE)
    assert found is not None, name
    return re.sub(r"\s", "", found[1])


@pytest.mark.parametrize(
    ("shown", "member"),
    [
        ("log_id", "log_id"),
        ("E", "epoch_key"),
        ("S_40", "secret"),
        ("fields_root", "fields_root"),
        ("sealed", "sealed"),
        ("leaf_40", "leaf"),
    ],
)
def test_the_example_is_the_first_sealing_vector(shown, member):
    assert example(shown) == VECTOR[member]
    assert VECTOR["index"] == 40


def test_the_example_s_derived_keys_and_commitment_are_right():
    secret, root = bytes.fromhex(example("S_40")), FieldsRoot(bytes.fromhex(example("fields_root")))
    assert example("salt_0") == shake_256(secret + b"tallystick/v1/fields").digest(640)[:32].hex()
    assert example("DEK_40") == hkdf_expand(secret, b"tallystick/v1/dek" + root).hex()
    first = encode_fields(whole_record())[0]
    assert first.hex() == "617601"
    assert example("commitment_0") == keccak256(b"\x00" + bytes.fromhex(example("salt_0")) + first).hex()


def test_the_example_s_first_bytes_and_sizes_are_right():
    data = encode_record(whole_record())
    shown = re.findall(r"^ {4,8}((?:[0-9a-f]{2,}\s+)+)(?:\"|a map)", EXAMPLE, re.MULTILINE)
    assert data.hex().startswith("".join("".join(shown).split()))
    plain = json.dumps(
        {"v": 1} | asdict(whole_record()),
        default=lambda value: value.hex() if isinstance(value, bytes) else str(value),
        separators=(",", ":"),
        ensure_ascii=False,
    )
    for size in (len(data), len(compress(data)), len(VECTOR["sealed"]) // 2, len(plain.encode())):
        assert f"{size:,}" in EXAMPLE


def test_the_example_opens():
    opened = sealing.open_sealed(
        bytes.fromhex(example("sealed")),
        log_id=LOG_ID,
        index=40,
        fields_root=FieldsRoot(bytes.fromhex(example("fields_root"))),
        secret=bytes.fromhex(example("S_40")),
    )
    assert opened.record == whole_record()
    assert sealing.record_secret(EPOCH_KEY, 40).hex() == example("S_40")


def test_the_page_names_the_dictionary():
    assert f"{len(DICTIONARY_V1):,} bytes" in PAGE
    assert keccak256(DICTIONARY_V1).hex() in PAGE


@pytest.mark.parametrize(
    "bound",
    [
        record.MAX_RECORD_BYTES, record.MAX_INLINE_BYTES, record.MAX_BLOB_BYTES, record.MAX_PARAMETERS_BYTES, record.MAX_NAME_BYTES,
        record.MAX_PATH_BYTES, record.MAX_ERROR_MESSAGE_BYTES, record.MAX_SIGNATURE_BYTES, record.MAX_TOPLOC_BYTES,
        record.MAX_GPU_COUNT, record.MAX_CHOICES, record.MAX_PARAMETERS, record.MAX_DEPTH, sealing.MAX_SEALED_BYTES,
        bundle.MAX_BUNDLE_BYTES,
    ],
)  # fmt: skip
def test_the_page_states_every_bound(bound):
    assert re.search(rf"(?<![\d,]){bound:,}(?![\d,]*\d)", PAGE)


def test_the_table_of_fields_is_the_records():
    table = PAGE[PAGE.index("| key | value |") : PAGE.index("Encoding is deterministic CBOR")]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(record.FIELD_NAMES)


def test_every_kind_of_error_in_a_vector_is_explained():
    kinds = set()
    for path in (Path(__file__).parents[1] / "vectors" / "v1").glob("*.json"):
        kinds |= set(re.findall(r'"error": "([^"]+)"', path.read_text()))
    table = PAGE[PAGE.index("## 9.") :]
    assert kinds == set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
