import dataclasses

import pytest

from tallystick import sealing
from tallystick.encoding import encode_fields, encode_record, encode_value
from tallystick.errors import DisclosureError, EncodingError, OpenError, RecordError
from tallystick.hashing import keccak256
from tallystick.ids import FieldsRoot, LogId
from tallystick.keys import EpochKey, hkdf_expand, hkdf_extract
from tallystick.merkle import leaf_hash
from tallystick.record import (
    FIELD_NAMES,
    MAX_INLINE_BYTES,
    MAX_RECORD_BYTES,
    BlobRef,
    Choice,
    Instructions,
    Record,
    Response,
)
from tallystick.sealing import (
    MAX_SEALED_BYTES,
    SealedRecord,
    check_commitments,
    check_disclosure,
    decrypt,
    disclose,
    fields_root_of,
    open_blob,
    open_sealed,
    pad,
    padme,
    record_secret,
    seal,
    sealed_header,
    unpad,
)
from tests.support.largest_record import largest_record
from tests.support.vectors.cast import EPOCH_KEY, LOG_ID, flipped, whole_record

INDEX = 40
NONCE = keccak256(b"custody")
SEALED = seal(whole_record(), epoch_key=EPOCH_KEY, index=INDEX)
LARGE = "a long line of text, " * 2000


def reopen(sealed: SealedRecord, /, **changes: object) -> sealing.OpenedRecord:
    arguments = {"log_id": LOG_ID, "index": sealed.index, "fields_root": sealed.fields_root, "secret": sealed.secret}
    data = changes.pop("sealed", sealed.sealed)
    return open_sealed(data, **(arguments | changes))


def with_text(text: str) -> Record:
    return dataclasses.replace(
        whole_record(), response=Response(choices=(Choice(index=0, text=text, finish_reason="stop"),))
    )


# The construction, written out from the specification's words


@pytest.mark.parametrize("nonce", [b"", NONCE])
def test_a_record_secret_is_hkdf_over_log_index_and_custody_nonce(nonce):
    info = b"tallystick/v1/record" + INDEX.to_bytes(8, "big") + nonce
    expected = hkdf_expand(hkdf_extract(EPOCH_KEY.secret, LOG_ID), info)
    assert record_secret(EPOCH_KEY, INDEX, nonce) == expected


def test_the_fields_root_is_one_hash_over_salted_commitments():
    import hashlib

    salts = hashlib.shake_256(SEALED.secret + b"tallystick/v1/fields").digest(640)
    commitments = [
        keccak256(b"\x00" + salts[32 * j : 32 * j + 32] + field)
        for j, field in enumerate(encode_fields(whole_record()))
    ]
    assert SEALED.fields_root == keccak256(b"\x01" + b"".join(commitments))
    assert fields_root_of(encode_record(whole_record()), SEALED.secret) == SEALED.fields_root


def test_the_leaf_binds_what_was_sealed():
    assert SEALED.leaf == leaf_hash(LOG_ID, INDEX, SEALED.fields_root, SEALED.sealed)
    assert (SEALED.index, SEALED.epoch, SEALED.blobs) == (INDEX, 3, ())


@pytest.mark.parametrize("nonce", [b"", NONCE])
def test_the_header_says_version_custody_and_epoch(nonce):
    header = sealed_header(seal(whole_record(), epoch_key=EPOCH_KEY, index=INDEX, custody_nonce=nonce).sealed)
    assert (header.version, header.vault, header.epoch) == (1, bool(nonce), 3)


def test_a_sealed_record_opens_to_the_record_and_its_commitments_hold():
    opened = reopen(SEALED)
    check_commitments(opened, SEALED.fields_root)
    assert opened.record == whole_record()
    assert opened.record_bytes == encode_record(whole_record())
    assert decrypt(
        SEALED.sealed, log_id=LOG_ID, index=INDEX, fields_root=SEALED.fields_root, secret=SEALED.secret
    ) == opened.record_bytes  # fmt: skip


def test_the_secret_shows_in_no_repr():
    assert SEALED.secret.hex() not in repr(SEALED)
    assert repr(SEALED.secret) not in repr(SEALED)
    assert repr(SEALED.secret) not in repr(reopen(SEALED))
    assert "tally stick" not in repr(SEALED)


# Why a constant nonce is safe (SPEC 4)


def key_of(sealed: SealedRecord) -> bytes:
    return hkdf_expand(sealed.secret, b"tallystick/v1/dek" + sealed.fields_root)


def test_one_index_with_two_records_gives_two_keys():
    other = seal(with_text("another answer"), epoch_key=EPOCH_KEY, index=INDEX)
    assert other.secret == SEALED.secret  # the index was handed out twice
    assert key_of(other) != key_of(SEALED)
    with pytest.raises(OpenError):
        reopen(SEALED, sealed=other.sealed)


def test_records_that_differ_in_any_one_field_have_keys_of_their_own():
    record = whole_record()
    changes = {
        "id": bytes.fromhex("019a9b0c1d2e7abc8def0123456789ac"), "admission_seq": 44, "sender_seq": 8, "task": "embed",
        "state": type(record.state).FAILED, "error": None, "time": dataclasses.replace(record.time, finished_at=0),
        "http": dataclasses.replace(record.http, streamed=False), "gpu": None, "provider": None, "price": None, "model": None,
        "parameters": {}, "prompt": None, "instructions": None, "response": None, "usage": None,
        "sender": dataclasses.replace(record.sender, token_id=None), "proof_of_compute": None,
    }  # fmt: skip
    assert set(changes) | {"v"} == set(FIELD_NAMES)
    variants = [dataclasses.replace(record, **{name: value}) for name, value in changes.items()]
    keys = [key_of(seal(variant, epoch_key=EPOCH_KEY, index=INDEX)) for variant in variants if variant != record]
    assert len(set(keys)) == len(keys) >= 18
    assert key_of(SEALED) not in keys


def test_the_same_record_at_the_same_index_seals_to_the_same_bytes():
    assert seal(whole_record(), epoch_key=EPOCH_KEY, index=INDEX) == SEALED


def test_no_two_of_log_epoch_index_and_custody_share_a_secret():
    other_log = EpochKey(LogId(keccak256(b"other log")), 3, EPOCH_KEY.secret)
    other_epoch = EpochKey(LOG_ID, 4, keccak256(b"other epoch"))
    secrets = {
        record_secret(EPOCH_KEY, INDEX),
        record_secret(EPOCH_KEY, INDEX + 1),
        record_secret(EPOCH_KEY, INDEX, NONCE),
        record_secret(EPOCH_KEY, INDEX, keccak256(NONCE)),
        record_secret(other_log, INDEX),
        record_secret(other_epoch, INDEX),
    }
    assert len(secrets) == 6


# What is bound


def test_each_changed_byte_of_sealed_is_refused():
    for at in range(len(SEALED.sealed)):
        for data in (flipped(SEALED.sealed, at), SEALED.sealed[:at]):
            with pytest.raises(OpenError):
                reopen(SEALED, sealed=data)


def test_each_changed_byte_of_fields_root_log_id_and_secret_is_refused():
    for at in range(32):
        for name, value in (("fields_root", SEALED.fields_root), ("log_id", LOG_ID), ("secret", SEALED.secret)):
            with pytest.raises(OpenError):
                reopen(SEALED, **{name: flipped(value, at)})


@pytest.mark.parametrize("index", [*[INDEX ^ 1 << bit for bit in range(53)], -1, 2**53, 2**64])
def test_each_changed_bit_of_the_index_is_refused(index):
    with pytest.raises(OpenError):
        reopen(SEALED, index=index)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_a_secret_of_another_size_is_refused(secret):
    with pytest.raises(OpenError, match="32 bytes"):
        reopen(SEALED, secret=secret)


@pytest.mark.parametrize("size", [0, 5, 22, MAX_SEALED_BYTES + 1])
def test_a_sealed_record_of_an_impossible_size_is_refused(size):
    with pytest.raises(OpenError, match="has 23 to"):
        sealed_header(b"\x01" * size)


def test_commitments_of_another_record_are_refused():
    with pytest.raises(OpenError, match="fields give the root"):
        check_commitments(reopen(SEALED), FieldsRoot(bytes(32)))


@pytest.mark.parametrize("nonce", [b"\x00", bytes(31), bytes(33)])
def test_a_custody_nonce_of_another_size_is_refused(nonce):
    with pytest.raises(OpenError):
        record_secret(EPOCH_KEY, INDEX, nonce)


def test_a_record_beyond_a_bound_is_not_sealed():
    with pytest.raises(RecordError):
        seal(dataclasses.replace(whole_record(), sender_seq=0), epoch_key=EPOCH_KEY, index=INDEX)


# Padding


@pytest.mark.parametrize(
    ("length", "padded"),
    [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
        (8, 8),
        (9, 10),
        (15, 16),
        (17, 18),
        (100, 104),
        (1000, 1024),
        (1025, 1088),
        (65_537, 67_584),
    ],
)
def test_padme_gives_the_lengths_of_its_paper(length, padded):
    assert padme(length) == padded


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x00", b"a\x80\x00\x00", b"x" * 500])
def test_padding_comes_off_exactly(data):
    assert unpad(pad(data)) == data


@pytest.mark.parametrize(
    "padded", [b"", b"\x00", b"a" * 8, pad(b"x" * 100) + b"\x00", pad(b"x" * 100)[:-1], b"x" * 100 + b"\x80"]
)
def test_any_other_padding_is_refused(padded):
    with pytest.raises(OpenError, match="padding"):
        unpad(padded)


# Large fields


@pytest.mark.parametrize("extra", [0, 1])
def test_a_field_at_the_bound_stays_and_one_byte_more_moves_to_a_blob(extra):
    overhead = len(encode_value({"choices": [{"text": "x" * 20_000, "index": 0, "finish_reason": "stop"}]})) - 20_000
    sealed = seal(with_text("x" * (MAX_INLINE_BYTES - overhead + extra)), epoch_key=EPOCH_KEY, index=INDEX)
    assert len(sealed.blobs) == extra
    opened = reopen(sealed)
    check_commitments(opened, sealed.fields_root)
    assert isinstance(opened.record.response, BlobRef) == bool(extra)


def test_every_large_field_moves_and_opens_again():
    record = dataclasses.replace(
        with_text(LARGE),
        prompt={"messages": [{"role": "user", "content": LARGE + "?"}]},
        instructions=Instructions(system=LARGE + "!", chat_template=None, chat_template_digest=None),
    )
    sealed = seal(record, epoch_key=EPOCH_KEY, index=INDEX)
    opened = reopen(sealed).record
    assert [blob.ref for blob in sealed.blobs] == [opened.prompt, opened.response, opened.instructions]
    values = [open_blob(blob.ciphertext, blob.ref, sealed.secret) for blob in sealed.blobs]
    assert values[0] == record.prompt
    assert values[1] == {"choices": [{"text": LARGE, "index": 0, "finish_reason": "stop"}]}
    assert values[2] == {"system": LARGE + "!", "chat_template": None, "chat_template_digest": None}


def test_a_blob_is_bound_to_its_record_and_to_every_part_of_its_reference():
    sealed = seal(with_text(LARGE), epoch_key=EPOCH_KEY, index=INDEX)
    (blob,) = sealed.blobs
    ref = blob.ref
    other = record_secret(EPOCH_KEY, INDEX + 1)
    for data, wrong, secret in (
        (flipped(blob.ciphertext, 0), ref, sealed.secret),
        (blob.ciphertext[:-1], ref, sealed.secret),
        (blob.ciphertext, ref, other),
        (blob.ciphertext, dataclasses.replace(ref, digest=flipped(ref.digest, 0)), sealed.secret),
        (blob.ciphertext, dataclasses.replace(ref, length=ref.length - 1), sealed.secret),
        (blob.ciphertext, dataclasses.replace(ref, length=ref.length + 1), sealed.secret),
        (blob.ciphertext, dataclasses.replace(ref, length=2**40), sealed.secret),
        (blob.ciphertext, dataclasses.replace(ref, sealed_digest=bytes(32)), sealed.secret),
    ):
        with pytest.raises(OpenError):
            open_blob(data, wrong, secret)


def test_a_blobs_text_does_not_show_in_a_repr():
    (blob,) = seal(with_text(LARGE), epoch_key=EPOCH_KEY, index=INDEX).blobs
    assert len(repr(blob)) < 600


def test_a_field_larger_than_any_blob_is_refused(monkeypatch):
    monkeypatch.setattr(sealing, "MAX_BLOB_BYTES", 30_000)
    with pytest.raises(EncodingError, match="at most 30000"):
        seal(with_text(LARGE), epoch_key=EPOCH_KEY, index=INDEX)


def test_a_record_that_outgrew_one_transaction_is_not_sealed(monkeypatch):
    monkeypatch.setattr(sealing, "MAX_RECORD_BYTES", 1000)
    with pytest.raises(EncodingError, match="at most 1000 fit"):
        seal(whole_record(), epoch_key=EPOCH_KEY, index=INDEX)


def test_the_largest_record_that_passes_its_bounds_can_be_sealed():
    record = largest_record()
    sealed = seal(record, epoch_key=EPOCH_KEY, index=2**53 - 1)
    assert sealed.blobs == ()
    assert 95_000 < len(encode_record(record)) <= MAX_RECORD_BYTES
    assert len(sealed.sealed) <= MAX_SEALED_BYTES
    assert reopen(sealed).record == record


# Disclosure


def opened_and_shown(*names: str) -> sealing.Disclosure:
    return disclose(reopen(SEALED), names)


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_each_field_can_be_shown_alone(name):
    shown = opened_and_shown(name)
    assert list(shown.fields) == [name]
    assert set(check_disclosure(shown, SEALED.fields_root)) == {name}


def test_a_disclosure_holds_neither_the_secret_nor_another_fields_salt():
    disclosure = opened_and_shown("price")
    shown = disclosure.fields["price"]
    everything = shown.field_bytes + shown.salt + b"".join(disclosure.commitments)
    assert SEALED.secret not in everything
    others = opened_and_shown(*FIELD_NAMES).fields
    assert all(other.salt not in everything for name, other in others.items() if name != "price")


def test_shown_values_are_the_records():
    values = check_disclosure(opened_and_shown("gpu", "task", "parameters"), SEALED.fields_root)
    assert values["task"] == "chat"
    assert values["gpu"]["name"] == "NVIDIA H200"
    assert values["parameters"] == whole_record().parameters


def test_each_changed_byte_of_a_disclosed_field_is_refused():
    disclosure = opened_and_shown("usage")
    shown = disclosure.fields["usage"]
    probes = [
        dataclasses.replace(shown, field_bytes=flipped(shown.field_bytes, at)) for at in range(len(shown.field_bytes))
    ]
    probes += [dataclasses.replace(shown, salt=flipped(shown.salt, at)) for at in range(32)]
    probes += [
        dataclasses.replace(shown, salt=shown.salt[:-1]),
        dataclasses.replace(shown, salt=shown.salt + shown.field_bytes[:1], field_bytes=shown.field_bytes[1:]),
    ]
    for probe in probes:
        with pytest.raises(DisclosureError):
            check_disclosure(dataclasses.replace(disclosure, fields={"usage": probe}), SEALED.fields_root)


def test_a_list_of_commitments_that_differs_in_any_place_or_length_is_refused():
    disclosure = opened_and_shown("usage")
    kept = list(disclosure.commitments)
    probes = [[*kept[:at], flipped(kept[at], 5), *kept[at + 1 :]] for at in range(len(kept))]
    probes += [kept[:-1], [*kept, bytes(32)], [kept[0] + kept[1], *kept[2:]], [*kept[:-1], kept[-1][:-1]]]
    for probe in probes:
        with pytest.raises(DisclosureError, match="commitments"):
            check_disclosure(dataclasses.replace(disclosure, commitments=probe), SEALED.fields_root)


def test_a_field_is_refused_under_another_name_and_another_root():
    disclosure = opened_and_shown("price")
    with pytest.raises(DisclosureError, match="under this name"):
        check_disclosure(
            dataclasses.replace(disclosure, fields={"usage": disclosure.fields["price"]}), SEALED.fields_root
        )
    with pytest.raises(DisclosureError, match="give the root"):
        check_disclosure(disclosure, FieldsRoot(bytes(32)))


def test_a_name_that_no_record_has_is_refused_with_the_names_that_exist():
    with pytest.raises(DisclosureError, match="proof_of_compute"):
        opened_and_shown("colour")
    disclosure = opened_and_shown("task")
    with pytest.raises(DisclosureError):
        check_disclosure(
            dataclasses.replace(disclosure, fields={"colour": disclosure.fields["task"]}), SEALED.fields_root
        )
