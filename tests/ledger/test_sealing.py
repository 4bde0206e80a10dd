import dataclasses
import hashlib
import hmac
from bisect import bisect_left

import pytest

from tallystick import sealing
from tallystick.binding import record_request_hash, request_digest, request_hash, response_digest, response_hash
from tallystick.compression import compress
from tallystick.encoding import decode_value, encode_fields, encode_record
from tallystick.errors import DisclosureError, EncodingError, OpenError, RecordError
from tallystick.hashing import keccak256
from tallystick.ids import FieldsRoot, LogId
from tallystick.keys import EpochKey, hkdf_expand, hkdf_extract
from tallystick.merkle import HEADER_BYTES, leaf_hash
from tallystick.record import (
    FIELD_NAMES,
    LARGE_FIELDS,
    MAX_PADDED_BYTES,
    MAX_RECORD_BYTES,
    MIN_BLOB_BYTES,
    BlobRef,
    Output,
    Record,
    Response,
    SenderSignature,
)
from tallystick.sealing import (
    FRESH_BYTES,
    MAX_SEALED_BYTES,
    MIN_SEALED_BYTES,
    SealedRecord,
    check_commitments,
    check_disclosure,
    decrypt,
    decrypt_blob,
    disclose,
    open_large_field,
    open_sealed,
    pad,
    padme,
    record_secret,
    response_salt,
    seal,
    sealed_header,
    unpad,
)
from tests.support.forgery import fields_root_of
from tests.support.largest_record import LARGEST_INLINE, largest_record, noise, noisy_text
from tests.support.vectors.cast import (
    EPOCH_KEY,
    LOG_ID,
    VAULT,
    accepted_record,
    bare_record,
    flipped,
    signed_record,
    stream,
    whole_record,
)

INDEX = 40


def sealed_at(record: Record, index: int = INDEX, *, draws: str = "record", vault: bytes = b"") -> SealedRecord:
    return seal(record, epoch_key=EPOCH_KEY, index=index, random=stream(draws), vault=vault)


SEALED = sealed_at(whole_record())
HEADER = SEALED.sealed[:HEADER_BYTES]
NONCE = sealed_header(SEALED.sealed).nonce


def reopen(sealed: SealedRecord, /, **changes: object) -> sealing.OpenedRecord:
    arguments = {
        "log_id": LOG_ID,
        "index": sealed.index,
        "epoch": 3,
        "fields_root": sealed.fields_root,
        "secret": sealed.secret,
    }
    data = changes.pop("sealed", sealed.sealed)
    return open_sealed(data, **(arguments | changes))


def with_text(text: str) -> Record:
    return dataclasses.replace(
        whole_record(), response=Response(outputs=(Output(kind="text", content=text, finish_reason="stop"),))
    )


def with_prompt(size: int) -> Record:
    """A record whose prompt cannot be compressed."""
    return dataclasses.replace(whole_record(), prompt={"p": noise(size, "prompt")})


# The construction, written out from the specification's words


@pytest.mark.parametrize("vault", [b"", VAULT])
def test_a_record_secret_is_hkdf_over_log_index_nonce_and_vault(vault):
    info = b"tallystick/v2/record" + INDEX.to_bytes(8, "big") + NONCE + vault
    expected = hkdf_expand(hkdf_extract(EPOCH_KEY.secret, LOG_ID), info)
    assert record_secret(EPOCH_KEY, INDEX, NONCE, vault) == expected
    assert sealed_at(whole_record(), vault=vault).secret == expected


def test_a_nonce_is_bound_to_fresh_randomness_the_index_and_the_record():
    key = hkdf_expand(hkdf_extract(EPOCH_KEY.secret, LOG_ID), b"tallystick/v2/nonce")
    material = stream("record")(32) + INDEX.to_bytes(8, "big") + encode_record(whole_record())
    assert hmac.digest(key, material, "sha256")[:16] == NONCE


def test_a_sealing_draws_once_from_the_random_generator():
    drawn: list[int] = []

    def random(size: int) -> bytes:
        drawn.append(size)
        return bytes(size)

    seal(whole_record(), epoch_key=EPOCH_KEY, index=INDEX, random=random)
    assert drawn == [FRESH_BYTES]


def test_the_fields_root_is_one_hash_over_salted_commitments():
    salts = hashlib.shake_256(SEALED.secret + b"tallystick/v2/fields").digest(704)
    commitments = [
        keccak256(b"\x05" + salts[32 * j : 32 * j + 32] + field)
        for j, field in enumerate(encode_fields(whole_record()))
    ]
    assert SEALED.fields_root == keccak256(b"\x06" + b"".join(commitments))
    assert fields_root_of(whole_record(), SEALED.secret) == SEALED.fields_root
    assert response_salt(SEALED.secret) == salts[32 * 16 : 32 * 17]
    assert FIELD_NAMES[16] == "response"


def test_the_ciphertext_is_aes_gcm_over_the_padded_frame():
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = hkdf_expand(SEALED.secret, b"tallystick/v2/dek" + HEADER + SEALED.fields_root)
    associated = HEADER + LOG_ID + INDEX.to_bytes(8, "big") + (3).to_bytes(4, "big")
    padded = AESGCM(key).decrypt(bytes(12), SEALED.sealed[HEADER_BYTES:], associated)
    assert padded == pad(compress(encode_record(whole_record())))


def test_the_leaf_binds_what_was_sealed():
    assert SEALED.leaf == leaf_hash(LOG_ID, INDEX, SEALED.fields_root, SEALED.sealed)
    assert (SEALED.index, SEALED.epoch, SEALED.blobs) == (INDEX, 3, ())


@pytest.mark.parametrize("vault", [b"", VAULT])
def test_the_header_says_custody_admission_number_and_nonce(vault):
    sealed = sealed_at(whole_record(), vault=vault).sealed
    header = sealed_header(sealed)
    assert (header.vault, header.admission_seq) == (bool(vault), 43)
    assert sealed[:HEADER_BYTES] == (b"\x21" if vault else b"\x20") + (43).to_bytes(8, "big") + header.nonce


def test_the_hashes_of_request_and_response_are_those_of_the_record():
    record = whole_record()
    asked = request_digest("POST", record.request.target, "application/json", record.request.body)
    assert SEALED.request_hash == request_hash(record.request.salt, asked)
    assert SEALED.response_hash == response_hash(
        response_salt(SEALED.secret), response_digest(None, record.response.outputs)
    )
    bare = sealed_at(bare_record())
    assert bare.request_hash == bytes(32)
    assert bare.response_hash == response_hash(response_salt(bare.secret), response_digest(bare_record().error, ()))


def test_a_sealed_record_opens_to_the_record_and_its_commitments_hold():
    opened = reopen(SEALED)
    check_commitments(opened, SEALED.fields_root)
    assert opened.record == whole_record()
    assert opened.record_bytes == encode_record(whole_record())
    assert decrypt(
        SEALED.sealed, log_id=LOG_ID, index=INDEX, epoch=3, fields_root=SEALED.fields_root, secret=SEALED.secret
    ) == opened.record_bytes  # fmt: skip


def test_the_secret_shows_in_no_repr():
    assert SEALED.secret.hex() not in repr(SEALED)
    assert repr(SEALED.secret) not in repr(SEALED)
    assert repr(SEALED.secret) not in repr(reopen(SEALED))
    assert "tally stick" not in repr(SEALED)


# Why a constant AES nonce is safe (SPEC 4), and why a restored backup is (SPEC 2)


def key_of(sealed: SealedRecord) -> bytes:
    return hkdf_expand(sealed.secret, b"tallystick/v2/dek" + sealed.sealed[:HEADER_BYTES] + sealed.fields_root)


def test_two_sealings_of_one_record_at_one_index_have_secrets_of_their_own():
    other = sealed_at(whole_record(), draws="another draw")
    assert other.secret != SEALED.secret
    assert key_of(other) != key_of(SEALED)
    with pytest.raises(OpenError):
        reopen(other, secret=SEALED.secret)


@pytest.mark.parametrize("draws", ["record", "after the restore"], ids=["generator repeats", "generator goes on"])
def test_after_a_restored_backup_the_first_records_secret_opens_nothing_of_the_second(draws):
    second = sealed_at(with_text(noisy_text(MAX_RECORD_BYTES, "bob")), draws=draws)  # the same index, for somebody else
    assert second.secret != SEALED.secret
    (blob,) = second.blobs
    with pytest.raises(OpenError):
        reopen(second, secret=SEALED.secret)
    with pytest.raises(OpenError):
        decrypt_blob(blob.ciphertext, blob.ref, SEALED.secret)
    shown = disclose(reopen(second), ["prompt"]).fields["prompt"]
    assert shown.salt != disclose(reopen(SEALED), ["prompt"]).fields["prompt"].salt


def test_records_that_differ_in_any_one_field_never_share_a_nonce_even_where_the_generator_repeats():
    record = whole_record()
    changes = {
        "id": bytes.fromhex("019a9b0c1d2e7abc8def0123456789ac"), "admission_seq": 44, "sender_seq": 8, "task": "embed",
        "state": type(record.state).FAILED, "error": bare_record().error, "time": dataclasses.replace(record.time, finished_at=0),
        "http": dataclasses.replace(record.http, streamed=False), "gpu": None, "provider": None, "price": None, "model": None,
        "parameters": {}, "request": None, "prompt": None, "instructions": None, "response": None, "usage": None,
        "sender": dataclasses.replace(record.sender, token_id=None), "follows": record.id, "proof_of_compute": None,
    }  # fmt: skip
    assert set(changes) | {"v"} == set(FIELD_NAMES)
    variants = [sealed_at(dataclasses.replace(record, **{name: value})) for name, value in changes.items()]
    for of in (key_of, lambda sealed: sealed.secret, lambda sealed: sealed_header(sealed.sealed).nonce):
        assert len({of(sealed) for sealed in [SEALED, *variants]}) == 22


def test_a_forged_nonce_that_repeats_still_gives_another_record_another_key():
    """The second line of defence: the data key depends on every byte of the record, by its fields root."""
    other = dataclasses.replace(SEALED, fields_root=fields_root_of(with_text("another"), SEALED.secret))
    assert key_of(other) != key_of(SEALED)


def test_no_two_of_log_epoch_index_nonce_and_vault_share_a_secret():
    other_log = EpochKey(LogId(keccak256(b"other log")), 3, EPOCH_KEY.secret)
    other_epoch = EpochKey(LOG_ID, 4, keccak256(b"other epoch"))
    secrets = {
        record_secret(EPOCH_KEY, INDEX, NONCE),
        record_secret(EPOCH_KEY, INDEX + 1, NONCE),
        record_secret(EPOCH_KEY, INDEX, flipped(NONCE, 15)),
        record_secret(EPOCH_KEY, INDEX, NONCE, VAULT),
        record_secret(EPOCH_KEY, INDEX, NONCE, keccak256(VAULT)),
        record_secret(other_log, INDEX, NONCE),
        record_secret(other_epoch, INDEX, NONCE),
    }
    assert len(secrets) == 7


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


@pytest.mark.parametrize("epoch", [0, 1, 2, 4, 2**32 - 1, 2**32, -1])
def test_another_epoch_is_refused(epoch):
    with pytest.raises(OpenError):
        reopen(SEALED, epoch=epoch)


@pytest.mark.parametrize("size", [0, 24, 25, MIN_SEALED_BYTES - 1, MAX_SEALED_BYTES + 1])
def test_a_sealed_record_of_an_impossible_size_is_refused(size):
    with pytest.raises(OpenError, match="has 42 to 122921 bytes"):
        sealed_header(b"\x20" * size)


@pytest.mark.parametrize("size", [MIN_SEALED_BYTES, MAX_SEALED_BYTES])
def test_a_sealed_record_of_a_possible_size_has_a_header(size):
    assert sealed_header((b"\x20" + (1).to_bytes(8, "big")).ljust(size, b"\x07")).nonce == b"\x07" * 16


@pytest.mark.parametrize("flags", [0, 1, 0x10, 0x22, 0x30, 0xA0, 0xFF])
def test_another_format_or_custody_is_refused(flags):
    with pytest.raises(OpenError, match=f"flags 0x{flags:02x}"):
        sealed_header(bytes((flags,)) + SEALED.sealed[1:])


@pytest.mark.parametrize("number", [0, 2**53, 2**64 - 1])
def test_an_admission_number_out_of_range_is_refused(number):
    with pytest.raises(OpenError, match="admission number"):
        sealed_header(b"\x20" + number.to_bytes(8, "big") + SEALED.sealed[9:])


def test_another_admission_number_than_the_headers_is_refused():
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = HEADER[:1] + (44).to_bytes(8, "big") + HEADER[9:]
    key = hkdf_expand(SEALED.secret, b"tallystick/v2/dek" + header + SEALED.fields_root)
    associated = header + LOG_ID + INDEX.to_bytes(8, "big") + (3).to_bytes(4, "big")
    lying = header + AESGCM(key).encrypt(bytes(12), pad(compress(encode_record(whole_record()))), associated)
    with pytest.raises(RecordError, match="is 43, the header says 44"):
        reopen(SEALED, sealed=lying)


def test_commitments_of_another_record_are_refused():
    with pytest.raises(OpenError, match="fields give the root"):
        check_commitments(reopen(SEALED), FieldsRoot(bytes(32)))


@pytest.mark.parametrize(
    ("nonce", "vault"), [(b"", 0), (bytes(15), 0), (bytes(17), 0), (bytes(16), 1), (bytes(16), 31), (bytes(16), 33)]
)
def test_a_nonce_or_a_vaults_share_of_another_size_is_refused(nonce, vault):
    with pytest.raises(OpenError):
        record_secret(EPOCH_KEY, INDEX, nonce, bytes(vault))


def test_a_record_beyond_a_bound_is_not_sealed():
    with pytest.raises(RecordError):
        sealed_at(dataclasses.replace(whole_record(), sender_seq=0))


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


def test_a_record_stays_inline_as_long_as_one_transaction_carries_it():
    def is_too_large(size: int) -> bool:
        return padme(len(compress(encode_record(with_prompt(size)))) + 1) > MAX_PADDED_BYTES

    most = bisect_left(range(125_000), True, lo=100_000, key=is_too_large) - 1
    for size, blobs in ((most, 0), (most + 1, 1)):
        sealed = sealed_at(with_prompt(size))
        assert len(sealed.blobs) == blobs
        assert isinstance(reopen(sealed).record.prompt, BlobRef) == bool(blobs)
    assert len(sealed_at(with_prompt(most)).sealed) == MAX_SEALED_BYTES


def test_a_record_stays_inline_up_to_its_bound_of_bytes_however_well_it_compresses():
    shell = len(encode_record(with_text("x" * 100_000))) - 100_000
    for extra in (0, 1):
        sealed = sealed_at(with_text("x" * (MAX_RECORD_BYTES - shell + extra)))
        assert len(sealed.blobs) == extra
        assert isinstance(reopen(sealed).record.response, BlobRef) == bool(extra)


ALL_TOO_LARGE = {"prompt": 130_000, "request": 130_000, "response": 130_000, "instructions": 160_000}


def filled(sizes: dict[str, int]) -> Record:
    """A record whose large fields have these many bytes that nothing compresses."""
    record = whole_record()
    made = {
        "prompt": lambda size: {"p": noise(size, "prompt")},
        "request": lambda size: dataclasses.replace(record.request, body=noise(size, "body")),
        "response": lambda size: Response(outputs=(Output(kind="document", content=noise(size, "answer")),)),
        "instructions": lambda size: dataclasses.replace(record.instructions, system=noisy_text(size, "system")),
    }
    return dataclasses.replace(record, **{name: made[name](size) for name, size in sizes.items()})


@pytest.mark.parametrize(
    ("sizes", "moved"),
    [
        ({"prompt": 90_000, "request": 80_000}, ["prompt"]),
        ({"prompt": 80_000, "request": 90_000}, ["request"]),
        ({"prompt": 10_000, "request": 119_000, "response": 30_000}, ["request"]),
        ({"prompt": 80_000, "request": 90_000, "response": 100_000}, ["response", "request"]),
        ({"instructions": 150_000, "response": 1_000}, ["instructions"]),
        (
            {"prompt": 130_000, "request": 130_000, "response": 130_000, "instructions": 160_000},
            ["instructions", "request", "response", "prompt"],
        ),
    ],
)
def test_the_largest_field_moves_first_and_no_more_than_must(sizes, moved):
    sealed = sealed_at(filled(sizes))
    opened = reopen(sealed).record
    check_commitments(reopen(sealed), sealed.fields_root)
    refs = {name: getattr(opened, name) for name in LARGE_FIELDS if isinstance(getattr(opened, name), BlobRef)}
    assert [blob.ref for blob in sealed.blobs] == [refs[name] for name in moved]
    assert set(refs) == set(moved)


def test_of_fields_of_one_size_the_first_in_canonical_order_moves():
    record = filled({"prompt": 90_000, "response": 90_000})
    sizes = dict(zip(FIELD_NAMES, map(len, encode_fields(record)), strict=True))
    shorter = sizes["response"] - len("response") - sizes["prompt"] + len("prompt")
    equal = filled({"prompt": 90_000 + shorter, "response": 90_000})
    sealed = sealed_at(equal)
    assert isinstance(reopen(sealed).record.prompt, BlobRef)
    assert len(sealed.blobs) == 1


def test_every_large_field_moves_and_opens_again_as_what_it_was():
    record = filled(ALL_TOO_LARGE)
    sealed = sealed_at(record)
    opened = reopen(sealed).record
    blobs = {blob.ref: blob.ciphertext for blob in sealed.blobs}
    assert len(blobs) == len(LARGE_FIELDS)
    for name in LARGE_FIELDS:
        ref = getattr(opened, name)
        assert open_large_field(name, blobs[ref], ref, sealed.secret) == getattr(record, name)
    assert decode_value(decrypt_blob(blobs[opened.prompt], opened.prompt, sealed.secret)) == record.prompt


def test_the_hashes_are_about_what_crossed_the_wire_wherever_it_lies():
    record = filled({"request": 130_000, "response": 130_000})
    sealed = sealed_at(record)
    assert {type(reopen(sealed).record.request), type(reopen(sealed).record.response)} == {BlobRef}
    assert sealed.request_hash == record_request_hash(record.http, record.request)
    digest = response_digest(None, record.response.outputs)
    assert sealed.response_hash == response_hash(response_salt(sealed.secret), digest)


def test_a_blob_is_not_the_content_of_another_field():
    sealed = sealed_at(filled({"prompt": 130_000}))
    (blob,) = sealed.blobs
    for name in ("request", "response", "instructions"):
        with pytest.raises(RecordError):
            open_large_field(name, blob.ciphertext, blob.ref, sealed.secret)


def test_a_blob_is_bound_to_its_record_and_to_every_part_of_its_reference():
    sealed = sealed_at(filled({"prompt": 130_000}))
    (blob,) = sealed.blobs
    ref = blob.ref
    other = record_secret(EPOCH_KEY, INDEX + 1, NONCE)
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
            decrypt_blob(data, wrong, secret)


def test_a_blobs_text_does_not_show_in_a_repr():
    (blob,) = sealed_at(filled({"prompt": 130_000})).blobs
    assert len(repr(blob)) < 600


def test_a_field_larger_than_any_blob_is_refused(monkeypatch):
    monkeypatch.setattr(sealing, "MAX_BLOB_BYTES", 120_000)
    with pytest.raises(EncodingError, match="at most 120000"):
        sealed_at(filled({"prompt": 130_000}))


def test_a_field_of_more_items_than_a_reader_holds_is_refused():
    crowd = dataclasses.replace(whole_record(), prompt={"p": [0] * 300_000})
    with pytest.raises(RecordError, match="prompt: has more than 262144 items"):
        sealed_at(crowd)


def test_a_record_with_a_reference_of_somebody_elses_making_is_not_sealed():
    ref = BlobRef(digest=bytes(32), length=MIN_BLOB_BYTES, sealed_digest=bytes(32))
    for name in LARGE_FIELDS:
        with pytest.raises(RecordError, match=f"{name}: is a blob reference already"):
            sealed_at(dataclasses.replace(whole_record(), **{name: ref}))


def test_a_small_value_never_moves_and_a_record_that_outgrew_one_transaction_is_not_sealed(monkeypatch):
    monkeypatch.setattr(sealing, "MAX_RECORD_BYTES", 1_000)
    with pytest.raises(EncodingError, match="without its large fields"):
        sealed_at(whole_record())


def test_the_largest_record_whose_fields_must_all_stay_inline_fits_one_transaction():
    record = largest_record()
    fields = dict(zip(FIELD_NAMES, encode_fields(record), strict=True))
    assert {len(fields[name]) - 1 - len(name) for name in LARGE_FIELDS} == {LARGEST_INLINE}
    sealed = sealed_at(record, 2**53 - 1)
    assert sealed.blobs == ()
    assert len(sealed.sealed) < MAX_SEALED_BYTES / 3
    assert reopen(sealed).record == record


@pytest.mark.parametrize("make", [bare_record, signed_record, accepted_record])
def test_each_kind_of_record_opens_to_what_it_was(make):
    opened = reopen(sealed_at(make()))
    assert opened.record == make()
    assert isinstance(opened.record.sender.signature, SenderSignature | None)


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
    values = check_disclosure(opened_and_shown("gpu", "task", "parameters", "usage"), SEALED.fields_root)
    assert values["task"] == "chat"
    assert values["gpu"]["name"] == "NVIDIA H200"
    assert values["parameters"] == whole_record().parameters
    assert values["usage"] == {"input_tokens": 31, "output_tokens": 18}


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


@pytest.mark.parametrize(
    ("field_bytes", "reason"),
    [
        (b"eusage\xa1ccat\x18\x01", "canonical"),
        (b"dtaskdchat", "of the field 'task'"),
        (b"ecolor\x01", "does not start with the key"),
    ],
)
def test_what_a_writer_committed_to_is_still_read_strictly(field_bytes, reason):
    salt, commitments = bytes(32), list(opened_and_shown("usage").commitments)
    commitments[FIELD_NAMES.index("usage")] = keccak256(b"\x05" + salt + field_bytes)
    root = FieldsRoot(keccak256(b"\x06" + b"".join(commitments)))
    shown = sealing.DisclosedField(field_bytes=field_bytes, salt=salt)
    with pytest.raises(DisclosureError, match=reason):
        check_disclosure(sealing.Disclosure(fields={"usage": shown}, commitments=commitments), root)
