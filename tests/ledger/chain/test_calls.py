import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.chain import words
from tallystick.chain.calls import (
    AppendCall,
    CallError,
    CommitCall,
    OpenEpochCall,
    RotateWriterCall,
    VoidNumbersCall,
    read_call,
)
from tallystick.chain.views import LOG_STATE
from tests.support import calldata

LOG, HEAD, ROOT = bytes(range(32)), b"\x0b" * 32, b"\x0a" * 32
WHO = b"\x01" * 20
HASHES = st.binary(min_size=32, max_size=32)
UINT64 = st.integers(0, 2**64 - 1)
UINT32 = st.integers(0, 2**32 - 1)


@given(HASHES, HASHES, UINT32, st.binary(max_size=200))
def test_an_epoch_is_read_back(log_id, head, epoch, wraps):
    call = read_call(calldata.open_epoch(log_id, head, epoch, wraps))
    assert call == OpenEpochCall(log_id=log_id, head=head, epoch=epoch, wraps=wraps)


@given(HASHES, HASHES, st.binary(max_size=200))
def test_an_append_is_read_back(log_id, head, records):
    assert read_call(calldata.append(log_id, head, records)) == AppendCall(log_id=log_id, head=head, records=records)


@given(HASHES, HASHES, UINT32, HASHES)
def test_a_commit_is_read_back(log_id, head, count, root):
    call = read_call(calldata.commit(log_id, head, count, root))
    assert call == CommitCall(log_id=log_id, head=head, count=count, root=root)


@given(HASHES, HASHES, st.binary(min_size=20, max_size=20), UINT64)
def test_a_rotation_is_read_back(log_id, head, writer, last):
    call = read_call(calldata.rotate_writer(log_id, head, writer, last))
    assert call == RotateWriterCall(log_id=log_id, head=head, writer=writer, last_admission=last)


@given(HASHES, HASHES, UINT64, UINT64)
def test_void_numbers_are_read_back(log_id, head, first, last):
    call = read_call(calldata.void_numbers(log_id, head, first, last))
    assert call == VoidNumbersCall(log_id=log_id, head=head, first=first, last=last)


@pytest.mark.parametrize(
    "odd",
    [
        calldata.append(LOG, HEAD, b"records") + b"more",
        calldata.append(LOG, HEAD, b"records")[:-25],
        calldata.APPEND + LOG + HEAD + words.uint(160) + bytes(64) + words.uint(7) + b"records",
        calldata.append(LOG, HEAD, b"records")[:-1] + b"\x01",
    ],
)
def test_what_a_lenient_contract_takes_is_read_too(odd):
    assert read_call(odd) == AppendCall(log_id=LOG, head=HEAD, records=b"records")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "none of the functions"),
        (calldata.APPEND[:3], "none of the functions"),
        (calldata.create_log(WHO, WHO, 1, 60, 0, LOG), "none of the functions"),
        (LOG_STATE.call(LOG), "none of the functions"),
        (calldata.append(LOG, HEAD, b"records")[:-26], "run past the end"),
        (calldata.append(LOG, HEAD, b"records")[:99], "no word"),
        (calldata.APPEND + LOG + HEAD + words.uint(2**64), "beyond"),
        (calldata.APPEND + LOG + HEAD + words.uint(96), "no word"),
        (calldata.APPEND + LOG + HEAD + words.uint(96) + words.uint(2**64), "beyond"),
        (calldata.COMMIT + LOG + HEAD + words.uint(2**32) + ROOT, "beyond"),
        (calldata.COMMIT + LOG + HEAD + words.uint(1) + ROOT[:31], "no word"),
        (calldata.ROTATE_WRITER + LOG + HEAD + b"\x01" * 32 + words.uint(1), "longer than 20"),
        (calldata.VOID_NUMBERS + LOG + HEAD + words.uint(1) + words.uint(2**64), "beyond"),
    ],
)
def test_what_the_contract_does_not_take_is_no_call(data, reason):
    with pytest.raises(CallError, match=reason):
        read_call(data)
