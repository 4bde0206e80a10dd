"""Verification: what a log, or one record's evidence, proves to somebody who trusts nobody.

A tour. `verify_log` walks a log from its creation to one block and `verify_bundle` checks one file; both give a `Verdict`:
thirteen numbered checks, and two more where a model folder is held against a record. Each is `pass`, `fail`, `skipped` or
`not covered`, with counts of what was really computed and why the rest was not.

    1 contract-code           contract_code.py        8 canonical-encoding      record_checks.py
    2 index-continuity        log_walk.py             9 field-commitments       record_checks.py
    3 leaves                  log_walk.py            10 sequence-completeness   sequence_checks.py
    4 roots                   log_walk.py            11 time-order              field_checks.py
    5 heads                   log_walk.py            12 price-arithmetic        field_checks.py
    6 receipts                receipt_checks.py      13 sender-proof            field_checks.py
    7 decryption              record_checks.py       14 model-digest, 15 replay   model_checks.py

`whole_log.py` puts them in order for a log, `bundle_checks.py` and `bundle_on_chain.py` for a bundle; `one_record.py` fetches
and opens a single record. `verdict.py` has the result and the `Tally` that collects it.
"""

from tallystick.verify.bundle_checks import verify_bundle
from tallystick.verify.contract_code import ChainMoved, NodeBehind, OtherChain
from tallystick.verify.file_lists import FileList, read_file_list
from tallystick.verify.model_checks import ModelFolder, Replay, Replayed, ReplayRefused
from tallystick.verify.one_record import FoundRecord, RecordAbsent, find_record
from tallystick.verify.receipt_checks import Held
from tallystick.verify.verdict import (
    BlockRef,
    BundleSubject,
    Check,
    LogSubject,
    Outcome,
    Reason,
    Status,
    Step,
    Verdict,
)
from tallystick.verify.whole_log import VerifyOptions, verify_log

__all__ = [
    "verify_log",
    "VerifyOptions",
    "verify_bundle",
    "ModelFolder",
    "FileList",
    "read_file_list",
    "Replay",
    "Replayed",
    "ReplayRefused",
    "Verdict",
    "Outcome",
    "Check",
    "Status",
    "Step",
    "Reason",
    "LogSubject",
    "BundleSubject",
    "BlockRef",
    "Held",
    "find_record",
    "FoundRecord",
    "RecordAbsent",
    "ChainMoved",
    "NodeBehind",
    "OtherChain",
]
