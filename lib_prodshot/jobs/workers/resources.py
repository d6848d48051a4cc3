"""Resources that the pictures in progress share and wait for: models and WebUIs, one picture each at a time; memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Generic, TypeVar

from lib_prodshot.jobs.workers.interface import TaskCancelled

_T = TypeVar("_T")


class PoolExhausted(Exception):
    """No member of the pool will ever be free again."""


class ResourcePool(Generic[_T]):
    """A pool whose members serve one picture each at a time; a member can be held back for a while or removed."""

    def __init__(self, members: Iterable[_T], clock: Callable[[], float] = monotonic) -> None:
        self._members = list(members)
        self._free = list(self._members)
        self._held_back: list[tuple[float, _T]] = []
        self._clock = clock
        self._change = threading.Condition()
        self._cancellations = 0
        self._closed = False

    @property
    def members(self) -> list[_T]:
        """Those that were not removed."""
        with self._change:
            return list(self._members)

    def acquire(self, without: Collection[_T] = ()) -> _T:
        """Return a free member, none of `without`, waiting for one if need be; `release` it in the end.

        Raises `PoolExhausted` when all others were removed, `TaskCancelled` when the job ends meanwhile.
        """
        with self._change:
            seen = self._cancellations
            while True:
                if self._closed or seen != self._cancellations:
                    raise TaskCancelled
                self._end_backoffs()
                free = [member for member in self._free if member not in without]
                if free:
                    self._free.remove(free[0])
                    return free[0]
                if not [member for member in self._members if member not in without]:
                    raise PoolExhausted
                self._change.wait(self._next_backoff_end())

    def release(self, member: _T, backoff: float = 0.0) -> None:
        """Make the member free again, after `backoff` seconds."""
        with self._change:
            self._held_back.append((self._clock() + backoff, member))
            self._change.notify_all()

    def remove(self, member: _T) -> None:
        """Remove an acquired member for good."""
        with self._change:
            self._members.remove(member)
            self._change.notify_all()

    def cancel_waiting(self, close: bool) -> None:
        """Cancel all who wait now; `close`: and all who come later."""
        with self._change:
            self._cancellations += 1
            self._closed = self._closed or close
            self._change.notify_all()

    def _end_backoffs(self) -> None:
        now = self._clock()
        self._free += [member for until, member in self._held_back if until <= now]
        self._held_back = [(until, member) for until, member in self._held_back if until > now]

    def _next_backoff_end(self) -> float | None:
        if not self._held_back:
            return None
        return max(0.01, min(until for until, _ in self._held_back) - self._clock())


class WeightedSemaphore:
    """A semaphore over an amount (pixels, slots) that can be closed; a request for more than all gets all of it."""

    def __init__(self, amount: int) -> None:
        self._amount = amount
        self._free = amount
        self._change = threading.Condition()
        self._closed = self._closed_to_begun = False

    @contextmanager
    def held(self, amount: int = 1, is_begun: bool = False) -> Iterator[None]:
        """Hold an amount while the block runs, waiting for it; `is_begun`: for a picture that has held it before.

        Raises `TaskCancelled` once the semaphore is closed to such a picture.
        """
        share = min(max(amount, 0), self._amount)

        def is_closed() -> bool:
            return self._closed_to_begun if is_begun else self._closed

        with self._change:
            self._change.wait_for(lambda: is_closed() or self._free >= share)
            if is_closed():
                raise TaskCancelled
            self._free -= share
        try:
            yield
        finally:
            with self._change:
                self._free += share
                self._change.notify_all()

    def close(self, now: bool = True) -> None:
        """Cancel all who wait, now and later; unless `now`, only those whose picture has not begun."""
        with self._change:
            self._closed = True
            self._closed_to_begun = self._closed_to_begun or now
            self._change.notify_all()
