"""One run at a time on an output folder in an object store, which has no locks: an object that says who works there.

While a run works it renews the object. A run that finds one waits for a while whether it is renewed: where it is,
another run is at work; where it is not, that run was killed. A process of this machine that is gone is not waited for.
Of runs that find none at the same time the last to write has it: each reads its claim once more before it works.
"""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from time import monotonic, sleep
from uuid import uuid4

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.staging import STATE_FOLDER, is_another_running
from lib_prodshot.storage.store import StorageError, Store

NAME = f"{STATE_FOLDER}/claim.json"

RENEWAL = 5.0
"""Seconds between two renewals."""

PATIENCE = 20.0
"""Seconds without a renewal after which the other run counts as killed."""


SETTLING = 1.0
"""Seconds after which a claim is read once more: more than a run needs from finding none to having written its own."""


class Claim:
    """A run's claim on the folder of `store`; `say` is told that another one's is waited for."""

    def __init__(self, store: Store, say: Callable[[str], None] = lambda text: None) -> None:
        self._store = store
        self._say = say
        self._id = uuid4().hex
        self._numbers = count(1)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """Take the folder, and renew the claim until `release`. Raises `OutputError` when another run has it, and
        `StorageError`."""
        held = self._store.read(NAME)
        if held is not None and not _is_ended(held):
            self._say(f"looking for {PATIENCE:g} s whether another run is working on {self._store.url}")
            self._refuse_renewed(held)
        self._write()
        sleep(SETTLING)
        now = self._store.read(NAME)
        if now is None or _id_of(now) != self._id:
            raise self._refusal()
        self._thread = threading.Thread(target=self._renew, name="prodshot-claim", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the folder up; does nothing where it was not taken."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        self._thread = None
        # what cannot be removed now is found to be ended by the next run
        with suppress(StorageError):
            self._store.remove(NAME)

    def _refuse_renewed(self, held: bytes) -> None:
        until = monotonic() + PATIENCE
        while monotonic() < until:
            sleep(min(1.0, PATIENCE / 4))
            now = self._store.read(NAME)
            if now is None:
                return
            if now != held:
                raise self._refusal()

    def _refusal(self) -> OutputError:
        return OutputError(f"another run is working on {self._store.url}; wait for it or choose another output folder")

    def _renew(self) -> None:
        while not self._over.wait(RENEWAL):
            # a store that does not answer now may at the next renewal
            with suppress(StorageError):
                self._write()

    def _write(self) -> None:
        who = {"id": self._id, "host": platform.node(), "process": os.getpid(), "renewal": next(self._numbers)}
        self._store.put_bytes(json.dumps(who).encode(), NAME)


def _id_of(held: bytes) -> str:
    try:
        return str(json.loads(held)["id"])
    except (ValueError, TypeError, KeyError):
        return ""


def _is_ended(held: bytes) -> bool:
    """Whether the claim is that of a process of this machine which is gone. This process holds none: the lock on its
    own folder came first."""
    try:
        who = json.loads(held)
        host, process = who["host"], int(who["process"])
    except (ValueError, TypeError, KeyError):
        return True
    return bool(host == platform.node()) and not is_another_running(process)
