import random

import pytest

from tallystick_platform.engine.text import TextStream, byte_level_alphabet, token_bytes
from tallystick_platform.errors import ModelUnusable
from tests.support.tiny_model import tiny_tokenizer


def table_of(tokenizer):
    added = tokenizer.get_added_tokens_decoder()
    special = frozenset(number for number, token in added.items() if token.special)
    contents = {number: token.content for number, token in added.items()}
    return token_bytes(tokenizer.get_vocab(with_added_tokens=False), contents, special)


def test_the_alphabet_has_one_letter_for_each_byte():
    alphabet = byte_level_alphabet()
    assert len(alphabet) == 256
    assert set(alphabet.values()) == set(range(256))
    assert alphabet["Ġ"] == 0x20


def test_a_character_is_given_out_once_all_its_bytes_are_there():
    tokenizer = tiny_tokenizer()
    stream = TextStream(table_of(tokenizer))
    pieces = [stream.push(number) for number in tokenizer.encode("é€🦉").ids]
    assert pieces == ["", "é", "", "", "€", "", "", "", "🦉"]
    assert stream.flush() == ""


def test_a_character_that_never_becomes_whole_is_replaced_at_the_end():
    tokenizer = tiny_tokenizer()
    stream = TextStream(table_of(tokenizer))
    assert stream.push(tokenizer.encode("é").ids[0]) == ""
    assert stream.flush() == "�"


def test_special_tokens_have_no_text():
    tokenizer = tiny_tokenizer()
    stream = TextStream(table_of(tokenizer))
    assert stream.push(tokenizer.token_to_id("<|im_end|>")) == ""


def test_a_token_beyond_the_vocabulary_has_no_text():
    assert TextStream([b"a"]).push(7) == ""


def test_any_tokens_read_as_the_tokenizers_library_reads_them():
    tokenizer = tiny_tokenizer()
    table, rng = table_of(tokenizer), random.Random(5)
    for _ in range(200):
        tokens = [rng.randrange(len(table)) for _ in range(rng.randrange(1, 30))]
        stream = TextStream(table)
        text = "".join(stream.push(token) for token in tokens) + stream.flush()
        assert text == tokenizer.decode(tokens, skip_special_tokens=True)


def test_added_tokens_that_are_not_special_stand_for_their_text():
    assert token_bytes({"a": 0}, {1: "<tool>"}, frozenset()) == [b"a", b"<tool>"]


def test_a_vocabulary_that_is_not_byte_level_is_refused():
    with pytest.raises(ModelUnusable, match="token 1 is not byte-level"):
        token_bytes({"a": 0, "▁the": 1}, {}, frozenset())
