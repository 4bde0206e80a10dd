import random

import pytest

from tallystick_platform.engine.text import TextStream, byte_level_alphabet, metaspace_bytes, token_bytes
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


def sentencepiece_tokenizer():
    """A vocabulary as Mistral and Llama 2 have it: words with a mark for the space before them, and a token for each byte."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "h", "i", "!", "\u2581h", "\u2581hi"]
    merges = [("\u2581", "h"), ("\u2581h", "i")]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken("</s>", special=True)])
    tokenizer.add_tokens([AddedToken("\u2581kept", normalized=False)])
    return tokenizer


def test_sentencepiece_tokens_give_the_text_that_the_tokenizer_itself_gives():
    tokenizer = sentencepiece_tokenizer()
    added = tokenizer.get_added_tokens_decoder()
    special = frozenset(number for number, token in added.items() if token.special)
    contents = {number: token.content for number, token in added.items()}
    table = metaspace_bytes(tokenizer.get_vocab(with_added_tokens=False), contents, special)
    for text in ("hi hi!", " hi", "é€🦉 hi", "!"):
        stream = TextStream(table, strips=True)
        ids = tokenizer.encode(text).ids
        assert "".join(stream.push(number) for number in ids) + stream.flush() == tokenizer.decode(ids)
    assert table[tokenizer.token_to_id("</s>")] == b""
    assert table[tokenizer.token_to_id("\u2581kept")] == b" kept"


def test_a_sentencepiece_tokenizer_is_told_from_a_byte_level_one(tmp_path):
    from tallystick_platform.engine.loading import load_codec
    from tests.support.tiny_model import write_tiny_model

    folder = write_tiny_model(tmp_path / "m")
    assert not load_codec(folder).strips_first_space
    sentencepiece_tokenizer().save(str(folder / "tokenizer.json"))
    codec = load_codec(folder)
    assert codec.strips_first_space
    assert codec.token_bytes[sentencepiece_tokenizer().encode("hi").ids[0]] == b" hi"
