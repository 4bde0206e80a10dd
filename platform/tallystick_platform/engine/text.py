"""Tokens to text that may be shown: exact bytes per token, whole characters only."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence

from tallystick_platform.errors import ModelUnusable


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


class TextStream:
    """Decodes one request's tokens as they come; an unfinished character waits for its remaining bytes."""

    __slots__ = ("_decoder", "_table")

    def __init__(self, table: Sequence[bytes]) -> None:
        self._table = table
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The whole characters that this token completes."""
        return self._decoder.decode(self._table[token_id] if token_id < len(self._table) else b"")

    def flush(self) -> str:
        """U+FFFD for a character that never became whole, else nothing."""
        return self._decoder.decode(b"", final=True)
