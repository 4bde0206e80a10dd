"""Making one chosen call of an object fail, either before it did anything or after it did everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """The two ways in which a call can fail as far as its caller can tell."""

    FAILED = "failed"
    DONE_ANYWAY = "failed but done anyway"


class Faulty:
    """Stands in front of `target`; the n-th call of a named method raises. Calls are counted by name, from 1."""

    def __init__(
        self,
        target: Any,
        error: Callable[[str], Exception],
        name_of: Callable[[str, tuple[Any, ...]], str] | None = None,
    ) -> None:
        self._target = target
        self._error = error
        self._name_of = name_of or (lambda method, _arguments: method)
        self._armed: dict[str, tuple[int, int, Fault]] = {}
        self.calls: Counter[str] = Counter()
        self.raised = 0

    def arm(self, name: str, fault: Fault, *, nth: int = 1, times: int = 1) -> None:
        """Let the n-th call of `name` from now on fail, and the `times - 1` after it."""
        first = self.calls[name] + nth
        self._armed[name] = (first, first + times, fault)

    def disarm(self) -> None:
        self._armed.clear()

    def __getattr__(self, method: str) -> Any:
        inner = getattr(self._target, method)
        if not callable(inner):
            return inner

        def call(*arguments: Any, **named: Any) -> Any:
            name = self._name_of(method, arguments)
            self.calls[name] += 1
            first, end, fault = self._armed.get(name, (0, 0, Fault.FAILED))
            if not first <= self.calls[name] < end:
                return inner(*arguments, **named)
            self.raised += 1
            if fault is Fault.DONE_ANYWAY:
                inner(*arguments, **named)
            raise self._error(name)

        return call
