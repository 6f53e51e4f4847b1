"""The only reader of time, ids and randomness; everything else receives them as arguments.

A `Clock` is passed in where the present matters, so that tests fix it and replay never needs it.
"""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# RFC 3339, section 5.6, with the digits that we keep. `fromisoformat` alone takes week dates, commas and cut-off seconds too.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE | re.ASCII
)


class Clock(Protocol):
    """Time, ids and randomness, as one injected object."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back; only differences mean anything."""
        ...

    def new_id(self) -> uuid.UUID:
        """A fresh UUIDv7 (RFC 9562, section 5.7): sorts by creation to the millisecond."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes from the operating system's generator, for keys and nonces."""
        ...

    def salt_bytes(self, count: int) -> bytes:
        """`count` bytes that nobody foresees either, for what every request needs: salts."""
        ...


class RandomPool:
    """The operating system's random bytes, drawn many at a time and given out once each, in every thread and after a fork.

    Each draw lets go of the interpreter, and under load another thread takes it: two of them were a sixth of a decision's time. For ids
    and salts alone: a virtual machine that is copied while it runs would give out in both copies what its pool holds, and two texts under
    one key and nonce tell each other.
    """

    POOL_BYTES = 4096

    def __init__(self) -> None:
        self.forget()
        # A child would give out what its parent does, and a lock that another thread of the parent held would never open.
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._held = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """`count` bytes that nobody else was given."""
        if count > self.POOL_BYTES:
            return os.urandom(count)
        with self._lock:
            if self._at + count > len(self._held):
                self._held, self._at = os.urandom(self.POOL_BYTES), 0
            begin, self._at = self._at, self._at + count
            return self._held[begin : self._at]


salt_bytes = RandomPool().take


class SystemClock:
    """The real one."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_ns(self) -> int:
        return time.perf_counter_ns()

    def new_id(self) -> uuid.UUID:
        return uuid7(time.time_ns() // 1_000_000, salt_bytes(10))

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def salt_bytes(self, count: int) -> bytes:
        return salt_bytes(count)


def uuid7(unix_ms: int, random: bytes) -> uuid.UUID:
    """The UUIDv7 of a millisecond and 10 random bytes; 74 of their 80 bits are used."""
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random, "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def to_instant(at_us: int) -> str:
    """RFC 3339 in UTC with exactly six digits: `2026-11-22T19:34:12.000000Z`."""
    seconds, micros = divmod(at_us, 1_000_000)
    return f"{_to_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=1024)  # every decision writes a few, and under load thousands fall into the same second
def _to_second(at_seconds: int) -> str:
    return (EPOCH + timedelta(seconds=at_seconds)).isoformat()[:-6]


def instant_of(at: datetime) -> str:
    """`to_instant` of a time with a zone, as the database gives it."""
    return to_instant((at - EPOCH) // timedelta(microseconds=1))


def from_instant(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 text.

    Raises: ValueError where it has no zone, more than six decimals, or isn't an instant.
    """
    if not _INSTANT.fullmatch(text):
        raise ValueError(f"'{text[:64]}' is not written as 2026-11-22T19:34:12Z, with up to six decimals and a zone")
    return (datetime.fromisoformat(text.upper()) - EPOCH) // timedelta(microseconds=1)
