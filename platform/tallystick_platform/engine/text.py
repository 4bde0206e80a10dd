"""Tokens to text that may be shown: exact bytes per token, whole characters only."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence

from tallystick_platform.errors import ModelUnusable

METASPACE = "\u2581"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def byte_level_alphabet() -> dict[str, int]:
    """The letter that stands for each byte in a byte-level vocabulary.

    Source: GPT-2's `bytes_to_unicode`: printable Latin-1 stands for itself, the other bytes follow from U+0100 up.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + offset): byte for offset, byte in enumerate(others)})
    return alphabet


def token_bytes(vocabulary: Mapping[str, int], added: Mapping[int, str], special: frozenset[int]) -> list[bytes]:
    """The bytes of each token id; special tokens have none, added ones stand for their own text.

    Raises: ModelUnusable where a token is not of the byte-level alphabet.
    """
    alphabet = byte_level_alphabet()
    table = [b""] * (1 + max(max(vocabulary.values(), default=0), max(added, default=0)))
    for token, token_id in vocabulary.items():
        if token_id in added or token_id in special:
            continue
        try:
            table[token_id] = bytes(alphabet[letter] for letter in token)
        except KeyError as error:
            raise ModelUnusable(
                reason=f"token {token_id} is not byte-level: this engine serves byte-level tokenizers"
            ) from error
    for token_id, text in added.items():
        if token_id not in special:
            table[token_id] = text.encode()
    return table


def metaspace_bytes(vocabulary: Mapping[str, int], added: Mapping[int, str], special: frozenset[int]) -> list[bytes]:
    """The same for a vocabulary in SentencePiece's manner: U+2581 stands for a space, <0xAB> for a byte, the rest for itself."""
    table = [b""] * (1 + max(max(vocabulary.values(), default=0), max(added, default=0)))
    for token, token_id in {**vocabulary, **{text: token_id for token_id, text in added.items()}}.items():
        if token_id in special:
            continue
        byte = _BYTE_TOKEN.fullmatch(token)
        table[token_id] = bytes([int(byte[1], 16)]) if byte else token.replace(METASPACE, " ").encode()
    return table


class TextStream:
    """Decodes one request's tokens as they come; an unfinished character waits for its remaining bytes.

    `strips` drops the one space that a tokenizer of SentencePiece's manner puts before the first word.
    """

    __slots__ = ("_decoder", "_strips", "_table")

    def __init__(self, table: Sequence[bytes], *, strips: bool = False) -> None:
        self._table = table
        self._strips = strips
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The whole characters that this token completes."""
        text = self._decoder.decode(self._table[token_id] if token_id < len(self._table) else b"")
        if self._strips and text:
            self._strips = False
            return text.removeprefix(" ")
        return text

    def flush(self) -> str:
        """U+FFFD for a character that never became whole, else nothing."""
        return self._decoder.decode(b"", final=True)
