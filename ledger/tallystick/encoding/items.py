"""How many items a piece of CBOR holds, found without building any of them.

One byte can stand for an empty map, which takes a reader a hundred. A record has at most 262,144 bytes and so as many items; a blob
has up to 32 MiB, and is counted before it is decoded.
"""

from __future__ import annotations

from typing import Final

MAX_ITEMS: Final = 262_144
"""Of one field's value: numbers, texts, byte strings, lists and maps, keys included."""

_BYTES_OR_TEXT: Final = (2, 3)
_LIST: Final = 4
_MAP: Final = 5
_TAG: Final = 6


def has_more_items(data: bytes, most: int) -> bool:
    """Tell whether an encoding has more than `most` items. What is cut short or not canonical is the decoder's to refuse.

    Every item has at least one byte, so short data are never walked.
    """
    size = len(data)
    if size <= most:
        return False
    at = found = 0
    wanted = 1
    while wanted > 0 and at < size:
        found += 1
        if found > most:
            return True
        major, number = data[at] >> 5, data[at] & 31
        at += 1
        if number >= 24:
            width = 1 << (number - 24) if number < 28 else 0
            number = int.from_bytes(data[at : at + width], "big")
            at += width
        wanted -= 1
        if major in _BYTES_OR_TEXT:
            at += number
        elif major == _LIST:
            wanted += number
        elif major == _MAP:
            wanted += 2 * number
        elif major == _TAG:  # refused in the end, but a decoder reads what is tagged first
            wanted += 1
    return False
