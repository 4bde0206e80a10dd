"""Work that a library does in one call, cut into pieces: it runs in a thread of its own, which stands still between them.

Only one of the two threads ever runs. So a worker can look after other requests in between, and give the work up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Semaphore, Thread
from typing import TypeVar

T = TypeVar("T")


class GivenUp(BaseException):
    """Raised inside of the work where nobody waits for it any more. No library catches it."""


def in_turns(work: Callable[[Callable[[], None]], T]) -> Iterator[T | None]:
    """None whenever the work calls what it is given, and then what comes of it. Raises: what the work raises."""
    go, pause = Semaphore(0), Semaphore(0)
    given_up = False
    results: list[T] = []
    errors: list[BaseException] = []

    def turn() -> None:
        pause.release()
        go.acquire()
        if given_up:
            raise GivenUp

    def run() -> None:
        go.acquire()
        try:
            results.append(work(turn))
        except BaseException as error:  # noqa: BLE001  # raised again in the thread that waits
            errors.append(error)
        pause.release()

    thread = Thread(target=run, name="in turns", daemon=True)
    thread.start()
    try:
        while True:
            go.release()
            pause.acquire()
            if results or errors:
                break
            yield None
    finally:
        if not (results or errors):
            given_up = True
            go.release()
        thread.join()
    if errors:
        raise errors[0]
    yield results[0]
