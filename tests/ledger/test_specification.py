"""The specification's own figures: a page that other implementations are written from must not drift from the code."""

import base64
import json
import re
from dataclasses import asdict
from hashlib import shake_256
from pathlib import Path

import pytest

from tallystick import keys, merkle, record, sealing
from tallystick.bundle.reading import MAX_BUNDLE_BYTES
from tallystick.compression import DICTIONARY_V2, compress
from tallystick.encoding import encode_fields, encode_record, items
from tallystick.hashing import keccak256
from tallystick.ids import FieldsRoot
from tallystick.keys import hkdf_expand
from tests.support.vectors.cast import EPOCH_KEY, LOG_ID, whole_record

PAGE = (Path(__file__).parents[2] / "ledger" / "SPEC.md").read_text()
EXAMPLE = PAGE[PAGE.index("## An example") : PAGE.index("## 1.")]
APPENDIX = PAGE[PAGE.index("## Appendix") :]
FOLDER = Path(__file__).parents[1] / "vectors" / "v2"
VECTOR = json.loads((FOLDER / "sealing.json").read_text())["valid"][0]


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
        ("nonce_40", "nonce"),
        ("S_40", "secret"),
        ("fields_root", "fields_root"),
        ("sealed", "sealed"),
        ("leaf_40", "leaf"),
        ("request_hash", "request_hash"),
        ("response_hash", "response_hash"),
    ],
)
def test_the_example_is_the_first_sealing_vector(shown, member):
    assert example(shown) == VECTOR[member]
    assert VECTOR["index"] == 40


def test_the_example_s_derived_keys_and_commitment_are_right():
    secret, root = bytes.fromhex(example("S_40")), FieldsRoot(bytes.fromhex(example("fields_root")))
    header = bytes.fromhex(example("sealed"))[:25]
    assert example("salt_0") == shake_256(secret + b"tallystick/v2/fields").digest(704)[:32].hex()
    assert example("DEK_40") == hkdf_expand(secret, b"tallystick/v2/dek" + header + root).hex()
    first = encode_fields(whole_record())[0]
    assert first.hex() == "617602"
    assert example("commitment_0") == keccak256(b"\x05" + bytes.fromhex(example("salt_0")) + first).hex()


def test_the_example_s_header_is_what_the_page_says_of_it():
    header = sealing.sealed_header(bytes.fromhex(example("sealed")))
    assert (header.vault, header.admission_seq, header.nonce.hex()) == (False, 43, example("nonce_40"))


def as_text(value: bytes) -> str:
    """Bytes as a JSON document would show them: text where they are text."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def test_the_example_s_first_bytes_and_sizes_are_right():
    data = encode_record(whole_record())
    shown = re.findall(r"^ {4,8}((?:[0-9a-f]{2,}\s+)+)(?:\"|a map)", EXAMPLE, re.MULTILINE)
    assert data.hex().startswith("".join("".join(shown).split()))
    plain = json.dumps(
        {"v": 2} | asdict(whole_record()),
        default=lambda value: as_text(value) if isinstance(value, bytes) else str(value),
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
        epoch=3,
        fields_root=FieldsRoot(bytes.fromhex(example("fields_root"))),
        secret=bytes.fromhex(example("S_40")),
    )
    assert opened.record == whole_record()
    assert sealing.record_secret(EPOCH_KEY, 40, bytes.fromhex(example("nonce_40"))).hex() == example("S_40")


def test_the_appendix_is_the_dictionary():
    assert base64.b64decode("".join(re.findall(r"^    (\S+)$", APPENDIX, re.MULTILINE)), validate=True) == DICTIONARY_V2
    assert f"{len(DICTIONARY_V2):,} bytes" in APPENDIX
    assert keccak256(DICTIONARY_V2).hex() in APPENDIX


@pytest.mark.parametrize(
    "bound",
    [
        record.MAX_RECORD_BYTES, record.MAX_PADDED_BYTES, record.MIN_BLOB_BYTES, record.MAX_BLOB_BYTES, record.MAX_PARAMETERS_BYTES,
        record.MAX_NAME_BYTES, record.MAX_PATH_BYTES, record.MAX_TARGET_BYTES, record.MAX_ERROR_MESSAGE_BYTES, record.MAX_TOPLOC_BYTES,
        record.SENDER_SIGNATURE_BYTES, record.REQUEST_SALT_BYTES, record.MAX_USAGE_COUNTS, record.MAX_COUNT_NAME_BYTES,
        record.MAX_GPU_COUNT, record.MAX_OUTPUTS, record.MAX_PARAMETERS, record.MAX_DEPTH, items.MAX_ITEMS, keys.WRAP_BYTES,
        merkle.HEADER_BYTES, merkle.MIN_CIPHERTEXT_BYTES, merkle.MAX_CIPHERTEXT_BYTES, merkle.MAX_BATCH_RECORDS, merkle.MAX_PATH_LENGTH,
        MAX_BUNDLE_BYTES,
    ],
)  # fmt: skip
def test_the_page_states_every_bound(bound):
    assert re.search(rf"(?<![\d,]){bound:,}(?![\d,]*\d)", PAGE)


def test_the_table_of_fields_is_the_records():
    table = PAGE[PAGE.index("| key | value |") : PAGE.index("`started_at` is when")]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(record.FIELD_NAMES)


def test_the_table_of_outputs_is_the_records():
    table = PAGE[PAGE.index("| kind | content |") : PAGE.index("**Prices.**")]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == record.OUTPUT_KINDS


def test_the_table_of_prices_is_the_records():
    table = PAGE[PAGE.index("| basis | `rates` |") : PAGE.index("Encoding is deterministic CBOR")]
    assert tuple(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == record.PRICE_BASES


def test_the_order_of_the_fields_is_the_records():
    listed = PAGE[PAGE.index("in canonical order:\n`v`") : PAGE.index("    salts        =")]
    assert tuple(re.findall(r"`(\w+)`", listed)) == record.FIELD_NAMES


def test_every_kind_of_error_in_a_vector_is_explained():
    kinds = set()
    for path in FOLDER.glob("*.json"):
        kinds |= set(re.findall(r'"error": "([^"]+)"', path.read_text()))
    table = PAGE[PAGE.index("## 12.") : PAGE.index("## Appendix")]
    assert kinds == set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
