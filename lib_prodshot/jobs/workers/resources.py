"""What the pictures in flight share and wait for: models and WebUIs, one picture each at a time; and memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Dismissed(BaseException):
    """Whoever waited need not wait any more: the job ends. No `Exception`, for it must never pass for a picture's."""


class NobodyLeft(Exception):
    """No member of the pool will ever be free again."""


class Pool(Generic[_T]):
    """Members that work on one picture each at a time. A member can rest for a while, or leave for good."""

    def __init__(self, members: Iterable[_T], clock: Callable[[], float] = monotonic) -> None:
        self._members = list(members)
        self._free = list(self._members)
        self._rests: list[tuple[float, _T]] = []
        self._clock = clock
        self._change = threading.Condition()
        self._round = 0
        self._closed = False

    @property
    def members(self) -> list[_T]:
        """Those who have not left."""
        with self._change:
            return list(self._members)

    def take(self, without: Collection[_T] = ()) -> _T:
        """A free member, waiting for one if need be; none of `without`. Give it back in the end.

        Raises `NobodyLeft` when all others have left, `Dismissed` when the job ends meanwhile.
        """
        with self._change:
            arrived = self._round
            while True:
                if self._closed or arrived != self._round:
                    raise Dismissed
                self._wake()
                free = [member for member in self._free if member not in without]
                if free:
                    self._free.remove(free[0])
                    return free[0]
                if not [member for member in self._members if member not in without]:
                    raise NobodyLeft
                self._change.wait(self._nearest_rest())

    def give_back(self, member: _T, rest: float = 0.0) -> None:
        """The member is free again, after `rest` seconds."""
        with self._change:
            self._rests.append((self._clock() + rest, member))
            self._change.notify_all()

    def drop(self, member: _T) -> None:
        """The member, taken before, leaves for good."""
        with self._change:
            self._members.remove(member)
            self._change.notify_all()

    def dismiss(self, later_too: bool) -> None:
        """Send away all who wait now; `later_too`: and all who come."""
        with self._change:
            self._round += 1
            self._closed = self._closed or later_too
            self._change.notify_all()

    def _wake(self) -> None:
        now = self._clock()
        self._free += [member for until, member in self._rests if until <= now]
        self._rests = [(until, member) for until, member in self._rests if until > now]

    def _nearest_rest(self) -> float | None:
        if not self._rests:
            return None
        return max(0.01, min(until for until, _ in self._rests) - self._clock())


class Room:
    """Room for so many pixels at a time, so that memory is bounded by it and not by the largest pictures' number.

    A picture larger than all the room goes alone.
    """

    def __init__(self, pixels: int) -> None:
        self._all = pixels
        self._left = pixels
        self._change = threading.Condition()
        self._closed = False

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Hold as much room while the block runs. Raises `Dismissed` when the job ends while it waits."""
        share = min(max(pixels, 0), self._all)
        with self._change:
            self._change.wait_for(lambda: self._closed or self._left >= share)
            if self._closed:
                raise Dismissed
            self._left -= share
        try:
            yield
        finally:
            with self._change:
                self._left += share
                self._change.notify_all()

    def close(self) -> None:
        """Send away all who wait, and all who come."""
        with self._change:
            self._closed = True
            self._change.notify_all()
