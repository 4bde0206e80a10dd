"""What is signed about a log, as EIP-712: the writer's receipts, admissions, heads, erasures and bundles, and a sender's requests.

- `messages`: the structs and the 32 bytes that are signed for each.
- `signed`: a message with its domain and signature, its JSON form, and who signed it.
- `members`: the strict reading of that JSON form.
"""

from tallystick.receipts.messages import (
    AdmissionReceipt,
    Domain,
    Erasure,
    HeadStatement,
    Receipt,
    SenderRequest,
    bundle_digest,
    message_digest,
    sender_request,
)
from tallystick.receipts.signed import (
    SIGNED_KINDS,
    Signed,
    SignedAdmission,
    SignedErasure,
    SignedHead,
    SignedReceipt,
    sender_request_signer,
    sign_admission,
    sign_erasure,
    sign_head,
    sign_receipt,
    sign_sender_request,
    signer,
)

__all__ = [
    "Domain",
    "Receipt",
    "AdmissionReceipt",
    "HeadStatement",
    "Erasure",
    "SenderRequest",
    "message_digest",
    "bundle_digest",
    "sender_request",
    "Signed",
    "SIGNED_KINDS",
    "SignedReceipt",
    "SignedAdmission",
    "SignedHead",
    "SignedErasure",
    "sign_receipt",
    "sign_admission",
    "sign_head",
    "sign_erasure",
    "sign_sender_request",
    "signer",
    "sender_request_signer",
]
