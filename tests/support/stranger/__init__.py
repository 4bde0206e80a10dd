"""A second reader of the ledger format, written from `ledger/SPEC.md` alone.

It shares no code with the product, so that a test which holds both against one log finds what the specification leaves out.

    read_log(rpc_url, contract, log_id, auditor_seed, *, record_secrets=None, blobs=None, messages=()) -> LogReport

walks a log from its creation over JSON-RPC and recomputes everything that it says. `rpc_url` is the address of a node, or a
callable `(method, params) -> result`; `contract` is 0x and 40 hex digits; `log_id` is 32 bytes or 0x and 64 hex digits;
`auditor_seed` is the 32-byte seed of an auditor's key or None, and then no record is opened. `record_secrets` maps the index of
a record in vault custody to its secret S_i; `blobs` maps a sealed digest to the bytes of a blob; `messages` are signed receipts,
admissions, heads and erasures as JSON text or as what `json.loads` makes of it. What is wrong with a log stands in
`report.problems`, one sentence each; what could not be checked stands in `report.unchecked`; `report.ok` is true where there is
no problem. Only a node that does not answer, or a log that is not there, raises.

    read_bundle(file: bytes, blobs=None) -> BundleReport

reads an evidence bundle. A file that is none raises `Refused` with the kind `BundleError`; one that is well-formed and
says something untrue lists it in `report.problems`.

    read_message(text) -> SignedMessage

reads a signed receipt, admission, head or erasure and finds its signer.

Every refusal is a `Refused`, whose `kind` is one of section 12 of the specification.
"""

from tests.support.stranger.bundle import BundleReport, read_bundle
from tests.support.stranger.errors import Refused
from tests.support.stranger.messages import SignedMessage, read_message
from tests.support.stranger.reader import LogReport, ReadRecord, read_log

__all__ = [
    "BundleReport",
    "LogReport",
    "ReadRecord",
    "Refused",
    "SignedMessage",
    "read_bundle",
    "read_log",
    "read_message",
]
