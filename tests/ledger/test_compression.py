import threading
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from tallystick import compression
from tallystick.compression import DICTIONARY_V2, compress, decompress
from tallystick.encoding import encode_record
from tallystick.errors import OpenError
from tallystick.hashing import keccak256
from tests.support.typical_record import typical_record
from tests.support.vectors.cast import bare_record, whole_record

DATA = encode_record(whole_record())
LIMIT = 100_000


def test_the_dictionary_is_the_one_of_version_2():
    assert len(DICTIONARY_V2) == 4602
    assert keccak256(DICTIONARY_V2).hex() == "98048ab14bb580de8d49f25c67f6fb871d0363ffb5392642909c60be2975c271"


@pytest.mark.parametrize("data", [b"\x00", b"a" * 10_000, DATA, bytes(range(256)) * 40])
def test_what_was_compressed_comes_back(data):
    assert decompress(compress(data), len(data)) == data


def test_a_small_record_shrinks_far_below_what_zstd_alone_reaches():
    for record, share in ((whole_record(), 0.55), (bare_record(), 0.75), (typical_record(), 0.8)):
        data = encode_record(record)
        alone = zstandard.ZstdCompressor(level=compression.LEVEL).compress(data)
        assert len(compress(data)) < share * len(alone)


def test_a_short_chat_record_takes_no_more_than_its_own_words_and_hashes():
    short = typical_record("You are a helpful assistant.", "What is a tally stick?", "A stick that was split in two.")
    assert len(compress(encode_record(short))) <= 360
    assert len(compress(encode_record(typical_record()))) <= 1_090


@pytest.mark.parametrize("size", [compression.LONG_BYTES, compression.LONG_BYTES + 1, compression.MAX_LONG_BYTES + 1])
def test_short_and_long_data_come_back_whatever_the_level(size):
    data = (DATA * (size // len(DATA) + 1))[:size]
    assert decompress(compress(data), size) == data


def test_a_long_prompt_is_compressed_harder_than_a_short_one():
    page = (Path(__file__).parents[2] / "ledger" / "SPEC.md").read_text()[:28_000]
    data = encode_record(typical_record(question=page))
    assert compression.LONG_BYTES < len(data) <= compression.MAX_LONG_BYTES
    assert len(compress(data)) < len(frame_of(data, write_dict_id=False))


def test_incompressible_data_grows_by_a_few_bytes():
    noise = b"".join(keccak256(number.to_bytes(2, "big")) for number in range(3000))
    assert len(compress(noise)) <= len(noise) + 16


def test_a_frame_larger_than_allowed_is_refused_before_anything_is_allocated():
    frame = compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(OpenError, match="names 50000000 bytes"):
        decompress(frame, LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_the_module_has_a_bound_of_its_own():
    with pytest.raises(OpenError, match=str(compression.MAX_FRAME_BYTES)):
        decompress(compress(bytes(compression.MAX_FRAME_BYTES + 1)), 2**40)


def bomb(blocks: int, named: int) -> bytes:
    """A frame whose head names a small size and whose blocks each repeat one byte 128 KiB long."""
    head = bytes.fromhex("28b52ffd") + bytes((0b1000_0000, 0x58)) + named.to_bytes(4, "little")
    repeated = ((1 << 17) << 3) | 0b010
    body = (repeated.to_bytes(3, "little") + b"a") * (blocks - 1)
    return head + body + (repeated | 1).to_bytes(3, "little") + b"a"


def test_a_frame_that_holds_more_than_it_names_stops_at_what_it_names():
    assert zstandard.ZstdDecompressor().decompress(bomb(2, 2 << 17), 1 << 20) == b"a" * (2 << 17)  # it is well-formed
    tracemalloc.start()
    with pytest.raises(OpenError, match="damaged"):
        decompress(bomb(20_000, 1000), LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def frame_of(data: bytes, **options: bool) -> bytes:
    dictionary = zstandard.ZstdCompressionDict(DICTIONARY_V2, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(level=compression.LEVEL, dict_data=dictionary, **options).compress(data)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x28\xb5\x2f\xfd",
        b"not a frame",
        compress(DATA)[:-1],
        compress(DATA) + b"\x00",
        compress(DATA) + compress(DATA),
        compress(b""),
        b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + compress(DATA),
        frame_of(DATA, write_content_size=False),
        frame_of(DATA, write_checksum=True),
        zstandard.ZstdCompressor().compress(b"")[:5],
    ],
)
def test_anything_but_one_whole_frame_of_the_format_is_refused(frame):
    with pytest.raises(OpenError):
        decompress(frame, LIMIT)


def test_a_frame_of_another_dictionary_does_not_give_the_record():
    other = zstandard.ZstdCompressionDict(DICTIONARY_V2[::-1], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    try:
        assert decompress(zstandard.ZstdCompressor(dict_data=other).compress(DATA), LIMIT) != DATA
    except OpenError:
        return


def test_every_cut_and_most_changes_of_a_frame_are_refused_or_give_other_bytes():
    frame = compress(DATA)
    for at in range(len(frame)):
        changed = frame[:at] + bytes((frame[at] ^ 0x10,)) + frame[at + 1 :]
        for probe in (frame[:at], changed):
            try:
                assert len(decompress(probe, LIMIT)) <= LIMIT
            except OpenError:
                continue


def test_threads_compress_without_mixing():
    datas = [DATA + bytes((number,)) * number for number in range(64)]
    wrong: list[int] = []

    def work() -> None:
        for number, data in enumerate(datas):
            if decompress(compress(data), LIMIT) != data:
                wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
