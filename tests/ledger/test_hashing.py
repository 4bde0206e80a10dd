import hashlib

import pytest

from tallystick.hashing import EMPTY_HASH, keccak256


# The first is Ethereum's hash of empty code; the others are the Keccak team's and Solidity's well-known answers.
@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (b"Transfer(address,address,uint256)", "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"),
    ],
)
def test_keccak256_gives_its_known_answers(data, digest):
    assert keccak256(data).hex() == digest


def test_it_is_not_the_sha3_of_the_standard():
    assert keccak256(b"") == EMPTY_HASH != hashlib.sha3_256(b"").digest()


@pytest.mark.parametrize("size", [0, 1, 135, 136, 137, 271, 272, 273, 10_000])
def test_every_length_around_a_block_gives_32_bytes_of_its_own(size):
    assert len({keccak256(bytes(size)), keccak256(bytes(size + 1)), keccak256(b"\x01" * (size + 1))}) == 3
    assert len(keccak256(bytes(size))) == 32
