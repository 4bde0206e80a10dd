"""Answers that are given again to whoever repeats a request under the same idempotency key.

An answer is encrypted under a key that takes both the operator's secret and the sender's idempotency key, which is stored nowhere: neither
a stolen database nor the operator alone can read what was answered. A row's name is a keyed hash of the token and that key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, func, insert, select

from tallystick.keys import hkdf_expand
from tallystick_platform.clock import Clock
from tallystick_platform.errors import RowTampered
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.tables import KEPT_ANSWER

KEEP_US = 86_400_000_000
"""How long an answer can be had again."""
MAX_KEPT_PER_TOKEN = 10_000
"""Beyond it the oldest answers of a token go."""
NONCE_BYTES = 12

_NAME_INFO = b"tallystick/v2/kept-answer-name"
_KEY_INFO = b"tallystick/v2/kept-answer"

_pack = msgspec.msgpack.Encoder().encode


class KeptAnswer(msgspec.Struct, frozen=True, array_like=True):
    """An answer as it was sent, and the digest of the request that it answered. `body` is None where it was too large to be kept."""

    request: bytes
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None


_decode = msgspec.msgpack.Decoder(KeptAnswer).decode


class KeptAnswers:
    """The answers that can be had again. Blocking: call it from a thread. `random(n)` gives n unpredictable bytes."""

    def __init__(self, database: Database, macs: RowMacs, clock: Clock, random: Callable[[int], bytes]) -> None:
        self._database = database
        self._secret = macs.answers_key
        self._naming = hkdf_expand(macs.answers_key, _NAME_INFO)
        self._clock = clock
        self._random = random

    def name(self, token_id: str, key: str) -> bytes:
        """What the answer to this token's request under this idempotency key is called."""
        return hashlib.blake2b(_pack((token_id, key)), key=self._naming, digest_size=32).digest()

    def find(self, token_id: str, key: str) -> KeptAnswer | None:
        """The answer that was kept, unless its time is over.

        Raises: RowTampered
        """
        name = self.name(token_id, key)
        query = select(KEPT_ANSWER).where(KEPT_ANSWER.c.name == name, KEPT_ANSWER.c.expires_at > self._clock.now_us())
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        box = row["ciphertext"]
        try:
            data = self._cipher(token_id, key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], _bound(row))
        except (InvalidTag, ValueError) as error:
            raise RowTampered(table=KEPT_ANSWER.name, row=name.hex()) from error
        return _decode(data)

    def keep(self, token_id: str, key: str, answer: KeptAnswer) -> None:
        """Keep an answer, durable on return; what is over, and the oldest of too many, go.

        Requires: none is kept under this name, or its time is over.
        """
        now_us, nonce = self._clock.now_us(), self._random(NONCE_BYTES)
        row = {"name": self.name(token_id, key), "token_id": token_id, "expires_at": now_us + KEEP_US}
        box = nonce + self._cipher(token_id, key).encrypt(nonce, _pack(answer), _bound(row))
        own = KEPT_ANSWER.c.token_id == token_id
        with self._database.writing() as connection:
            connection.execute(delete(KEPT_ANSWER).where(KEPT_ANSWER.c.expires_at <= now_us))
            count = connection.execute(select(func.count()).select_from(KEPT_ANSWER).where(own)).scalar_one()
            if count >= MAX_KEPT_PER_TOKEN:
                oldest = select(KEPT_ANSWER.c.name).where(own).order_by(KEPT_ANSWER.c.expires_at)
                oldest = oldest.limit(count - MAX_KEPT_PER_TOKEN + 1)
                connection.execute(delete(KEPT_ANSWER).where(KEPT_ANSWER.c.name.in_(oldest)))
            connection.execute(insert(KEPT_ANSWER).values(ciphertext=box, **row))

    def _cipher(self, token_id: str, key: str) -> AESGCM:
        return AESGCM(hkdf_expand(self._secret, _KEY_INFO + _pack((token_id, key))))


def _bound(row: object) -> bytes:
    """What the encryption binds of a row."""
    return _pack((row["name"], row["token_id"], row["expires_at"]))  # type: ignore[index]  # a mapping, of whichever kind
