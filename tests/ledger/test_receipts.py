import dataclasses
import json

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from tallystick.errors import ReceiptFormatError, SignatureError
from tallystick.hashing import EMPTY_HASH, keccak256
from tallystick.ids import Address, LogId, checksum_address, to_hex
from tallystick.receipts import (
    AdmissionReceipt,
    Domain,
    Receipt,
    SignedAdmission,
    SignedReceipt,
    admission_digest,
    bundle_digest,
    receipt_digest,
    request_hash,
    response_hash,
    sign_admission,
    sign_receipt,
    signer,
)
from tests.support.vectors.cast import DOMAIN, LOG_ID, SENDER, WRITER, flipped, whole_record

RECEIPT = Receipt(
    log_id=LOG_ID,
    index=40,
    leaf=keccak256(b"leaf"),
    request_hash=keccak256(b"request"),
    response_hash=keccak256(b"response"),
    issued_at=1_763_700_001,
    anchor_by=1_763_703_601,
)
ADMISSION = AdmissionReceipt(
    log_id=LOG_ID,
    record_id=whole_record().id,
    sender=SENDER.address,
    sender_seq=7,
    request_hash=keccak256(b"request"),
    admitted_at=1_763_700_000,
    anchor_by=1_763_703_600,
)
TYPES = {
    "Receipt": "bytes32 logId,uint64 index,bytes32 leaf,bytes32 requestHash,bytes32 responseHash,uint64 issuedAt,uint64 anchorBy",
    "Admission": "bytes32 logId,bytes16 recordId,address sender,uint64 senderSeq,bytes32 requestHash,uint64 admittedAt,uint64 anchorBy",
    "Bundle": "bytes32 contentHash",
}


def typed(kind: str, domain: Domain, message: dict[str, object]) -> object:
    """What eth-account makes of one of our structs."""
    members = [dict(zip(("type", "name"), part.split(), strict=True)) for part in TYPES[kind].split(",")]
    return encode_typed_data(
        {
            "name": "Tallystick",
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": checksum_address(domain.contract),
        },
        {kind: members},
        message,
    )


def camel(value: object) -> dict[str, object]:
    def name(field: str) -> str:
        first, *rest = field.split("_")
        return first + "".join(part.capitalize() for part in rest)

    return {name(field.name): getattr(value, field.name) for field in dataclasses.fields(value)}


def digest(signable: object) -> bytes:
    return keccak256(b"\x19" + signable.version + signable.header + signable.body)


EXTREMES = [
    (RECEIPT, DOMAIN),
    (dataclasses.replace(RECEIPT, index=0, issued_at=0, anchor_by=0), Domain(chain_id=0, contract=Address(bytes(20)))),
    (
        dataclasses.replace(RECEIPT, index=2**64 - 1, issued_at=2**64 - 1, anchor_by=2**64 - 1, leaf=b"\xff" * 32),
        Domain(chain_id=2**64 - 1, contract=Address(b"\xff" * 20)),
    ),
]


@pytest.mark.parametrize(("receipt", "domain"), EXTREMES)
def test_a_receipts_digest_is_eth_accounts(receipt, domain):
    assert receipt_digest(domain, receipt) == digest(typed("Receipt", domain, camel(receipt)))


@pytest.mark.parametrize("sender_seq", [0, 7, 2**64 - 1])
def test_an_admissions_digest_is_eth_accounts(sender_seq):
    admission = dataclasses.replace(ADMISSION, sender_seq=sender_seq)
    assert admission_digest(DOMAIN, admission) == digest(typed("Admission", DOMAIN, camel(admission)))


def test_a_bundles_digest_is_eth_accounts():
    content = keccak256(b"content")
    assert bundle_digest(DOMAIN, content) == digest(typed("Bundle", DOMAIN, {"contentHash": content}))


def test_signatures_are_eth_accounts():
    expected = Account.sign_message(typed("Receipt", DOMAIN, camel(RECEIPT)), WRITER.secret).signature
    assert sign_receipt(WRITER, DOMAIN, RECEIPT).signature == expected
    content = keccak256(b"content")
    expected = Account.sign_message(typed("Bundle", DOMAIN, {"contentHash": content}), WRITER.secret).signature
    assert WRITER.sign_digest(bundle_digest(DOMAIN, content)) == expected


def test_the_signer_is_computed_from_the_signature():
    assert signer(sign_receipt(WRITER, DOMAIN, RECEIPT)) == WRITER.address
    assert signer(sign_admission(SENDER, DOMAIN, ADMISSION)) == SENDER.address


def other(value: object) -> object:
    return value + 1 if isinstance(value, int) else flipped(value, 3)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Receipt)])
def test_each_member_of_a_receipt_is_signed(field):
    signed = sign_receipt(WRITER, DOMAIN, RECEIPT)
    changed = dataclasses.replace(RECEIPT, **{field: other(getattr(RECEIPT, field))})
    assert signer(dataclasses.replace(signed, receipt=changed)) != WRITER.address


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(AdmissionReceipt)])
def test_each_member_of_an_admission_is_signed(field):
    signed = sign_admission(WRITER, DOMAIN, ADMISSION)
    changed = dataclasses.replace(ADMISSION, **{field: other(getattr(ADMISSION, field))})
    assert signer(dataclasses.replace(signed, admission=changed)) != WRITER.address


@pytest.mark.parametrize(
    "domain", [dataclasses.replace(DOMAIN, chain_id=1), dataclasses.replace(DOMAIN, contract=Address(bytes(20)))]
)
def test_a_signature_is_worth_nothing_on_another_chain_or_contract(domain):
    signed = sign_receipt(WRITER, DOMAIN, RECEIPT)
    assert signer(dataclasses.replace(signed, domain=domain)) != WRITER.address


def test_receipts_are_read_back_from_their_json():
    signed, promised = sign_receipt(WRITER, DOMAIN, RECEIPT), sign_admission(WRITER, DOMAIN, ADMISSION)
    assert SignedReceipt.from_json(json.loads(json.dumps(signed.to_json()))) == signed
    assert SignedAdmission.from_json(json.loads(json.dumps(promised.to_json()))) == promised


def test_the_json_has_the_layout_that_clients_know():
    assert list(sign_receipt(WRITER, DOMAIN, RECEIPT).to_json()) == ["domain", "receipt", "signature", "signer"]
    shown = sign_receipt(WRITER, DOMAIN, RECEIPT).to_json()
    assert shown["domain"] == {"chain_id": DOMAIN.chain_id, "contract": checksum_address(DOMAIN.contract)}
    assert shown["receipt"]["leaf"] == to_hex(RECEIPT.leaf)
    assert shown["signer"] == checksum_address(WRITER.address)


def with_changes(signed: SignedReceipt | SignedAdmission, path: str, value: object) -> dict[str, object]:
    shown = json.loads(json.dumps(signed.to_json()))
    outer, _, inner = path.partition(".")
    target = shown[outer] if inner else shown
    if value is KeyError:
        del target[inner or outer]
    else:
        target[inner or outer] = value
    return shown


FAULTS = [
    ("domain", []), ("domain.chain_id", True), ("domain.chain_id", -1), ("domain.chain_id", 2**64), ("domain.chain_id", 1.0),
    ("domain.contract", "0x00"), ("domain.contract", 5), ("domain.colour", "red"), ("receipt", None), ("receipt.index", "40"),
    ("receipt.index", 2**64), ("receipt.log_id", "0x" + "11" * 31), ("receipt.leaf", KeyError), ("receipt.leaf", "11" * 32),
    ("receipt.extra", 1), ("signature", "0x"), ("signature", None), ("signer", "0x" + "11" * 20), ("signer", KeyError),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), FAULTS)
def test_a_receipts_json_with_one_fault_is_refused(path, value):
    with pytest.raises(ReceiptFormatError):
        SignedReceipt.from_json(with_changes(sign_receipt(WRITER, DOMAIN, RECEIPT), path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("admission.record_id", "x"),
        ("admission.sender", "0x"),
        ("admission.sender_seq", None),
        ("admission.admitted_at", KeyError),
        ("signer", 1),
    ],
)
def test_an_admissions_json_with_one_fault_is_refused(path, value):
    with pytest.raises(ReceiptFormatError):
        SignedAdmission.from_json(with_changes(sign_admission(WRITER, DOMAIN, ADMISSION), path, value))


@pytest.mark.parametrize("data", [None, [], "receipt", {}, {"receipt": {}}])
def test_something_else_than_a_receipt_is_refused(data):
    for kind in (SignedReceipt, SignedAdmission):
        with pytest.raises(ReceiptFormatError):
            kind.from_json(data)


def test_a_signature_that_no_key_makes_is_refused():
    with pytest.raises(SignatureError):
        SignedReceipt.from_json(
            with_changes(sign_receipt(WRITER, DOMAIN, RECEIPT), "signature", "0x" + "00" * 64 + "1b")
        )


def test_a_changed_copy_of_a_receipt_does_not_name_the_signer_of_the_first():
    signed = sign_receipt(WRITER, DOMAIN, RECEIPT)
    changed = dataclasses.replace(signed, receipt=dataclasses.replace(RECEIPT, index=41))
    assert signed.to_json()["signer"] == checksum_address(WRITER.address)
    assert changed.to_json()["signer"] == checksum_address(signer(changed)) != signed.to_json()["signer"]


def test_what_is_known_of_the_signer_makes_no_difference_to_equality():
    signed = sign_receipt(WRITER, DOMAIN, RECEIPT)
    again = SignedReceipt(receipt=RECEIPT, domain=DOMAIN, signature=signed.signature)
    assert again == signed
    assert again.to_json() == signed.to_json()


def test_a_request_is_hashed_as_it_was_received():
    assert request_hash(b'{"a": 1}') != request_hash(b'{"a":1}')
    assert request_hash(b"") == EMPTY_HASH


def test_outputs_are_hashed_one_by_one_so_that_no_text_moves_between_them():
    assert response_hash([]) == EMPTY_HASH
    assert response_hash([b"ab"]) == keccak256(keccak256(b"ab"))
    assert (
        len(
            {
                response_hash(outputs)
                for outputs in ([b"ab", b"c"], [b"a", b"bc"], [b"c", b"ab"], [b"abc"], [b"ab", b"c", b""])
            }
        )
        == 5
    )


def test_another_log_gives_another_digest():
    assert receipt_digest(DOMAIN, RECEIPT) != receipt_digest(
        DOMAIN, dataclasses.replace(RECEIPT, log_id=LogId(bytes(32)))
    )
