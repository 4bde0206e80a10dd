import inspect

import pytest

from tallystick import errors
from tallystick.errors import TallystickError, VerificationError

CHECKS = [
    "contract-code", "index-continuity", "leaves", "roots", "heads", "authorship", "completeness", "receipts",
    "decryption", "canonical-encoding", "field-commitments", "request-binding", "response-binding", "sequences",
    "times", "price-arithmetic", "sender-proof", "model-digest", "replay",
]  # fmt: skip
STEPS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if "STEP" in vars(kind)]


def test_every_error_has_one_root():
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert all(issubclass(kind, TallystickError) for kind in kinds)


def test_the_checks_are_numbered_as_they_are_named():
    assert sorted((kind.STEP, kind.NAME) for kind in STEPS) == list(enumerate(CHECKS, start=1))


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.NAME)
def test_a_failed_check_names_record_expected_and_found(kind):
    error = kind("record 7", "0xaa", "0xbb")
    assert isinstance(error, VerificationError)
    assert (error.step, error.name, error.where) == (kind.STEP, kind.NAME, "record 7")
    assert (error.expected, error.found) == ("0xaa", "0xbb")
    for part in (str(kind.STEP), kind.NAME, "record 7", "0xaa", "0xbb"):
        assert part in str(error)


def test_a_failure_accuses_whoever_it_is_said_to_and_otherwise_who_is_to_blame_by_its_kind():
    assert errors.HeadsError("entry 0", "a", "b").accused is errors.Party.NODE
    assert errors.TimesError("record 0", "a", "b").accused is errors.Party.WRITER
    assert errors.HeadsError("batch 0", "a", "b", errors.Party.MAKER).accused is errors.Party.MAKER
    assert errors.ReceiptsError("receipt", "a", "b", signed=True).signed


def test_errors_keep_their_parts():
    encoding = errors.EncodingError("differs", offset=4)
    assert (encoding.reason, encoding.offset) == ("differs", 4)
    assert "byte 4" in str(encoding)
    assert str(errors.EncodingError("differs")) == "differs"
    rejected = errors.ChainRejected(3, "reverted", b"\x01")
    assert (rejected.code, rejected.message, rejected.data) == (3, "reverted", b"\x01")
    assert str(rejected).endswith("0x01")
    unavailable = errors.ChainUnavailable("http://node", "refused")
    assert (unavailable.url, unavailable.reason) == ("http://node", "refused")


def test_a_key_format_error_is_a_value_error_too():
    assert isinstance(errors.KeyFormatError("wallet", "is short"), ValueError)
