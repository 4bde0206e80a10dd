import msgspec
import pytest

from tallystick_platform import protocol
from tallystick_platform.protocol import (
    Alive,
    Cancel,
    Failed,
    Fatal,
    Finished,
    Loading,
    Piece,
    ProtocolFault,
    Started,
    StepReport,
    Stop,
    Submit,
    decode_from_worker,
    decode_to_worker,
    encode,
)
from tests.support.tiny_model import request

ID = b"\x01" * 16
USAGE = {"input_tokens": 5, "output_tokens": 2}


@pytest.mark.parametrize(
    "message",
    [
        Loading("loading the weights", 0.5),
        Alive(3),
        Fatal("no model"),
        StepReport([Started(ID, USAGE), Piece(ID, "é", USAGE, 10), Failed(ID, "queue-full", "full", 3, 3)]),
        StepReport([Piece(ID, b"\xff\x00", USAGE, 10), Finished(ID, "stop", USAGE, 30), Finished(ID, None, {}, 0)]),
    ],
)
def test_what_a_worker_says_arrives_as_it_was_said(message):
    assert decode_from_worker(encode(message)) == message


@pytest.mark.parametrize("message", [Cancel(ID), Stop(), Submit(request(messages=[{"role": "user", "content": "Ü"}]))])
def test_what_the_api_says_arrives_as_it_was_said(message):
    assert decode_to_worker(encode(message)) == message


@pytest.mark.parametrize(
    "frame", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"type": "unheard-of"}), encode(Stop())]
)
def test_a_frame_that_is_no_message_is_a_fault(frame):
    with pytest.raises(ProtocolFault):
        decode_from_worker(frame)


def test_a_piece_that_is_neither_text_nor_bytes_is_a_fault():
    frame = encode(StepReport([Piece(ID, "five", USAGE, 1)])).replace(b"\xa4five", b"\x05")
    with pytest.raises(ProtocolFault, match="text or bytes"):
        decode_from_worker(frame)


def test_a_frame_beyond_the_bound_is_a_fault(monkeypatch):
    frame = encode(Fatal("x" * 100))
    monkeypatch.setattr(protocol, "MAX_FRAME_BYTES", len(frame))
    assert decode_from_worker(frame) == Fatal("x" * 100)
    monkeypatch.setattr(protocol, "MAX_FRAME_BYTES", len(frame) - 1)
    with pytest.raises(ProtocolFault, match="the bound is"):
        decode_from_worker(frame)
