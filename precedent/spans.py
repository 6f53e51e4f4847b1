"""Where the time goes, told to whoever listens; while nobody does, a span costs a call and a comparison.

The core names its steps here and knows no tracing library: tracing.py has one. Nothing personal and no fact is told: names of nodes,
actions and verdicts, counts, places in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

# A span that was begun elsewhere, as the tracer knows it.
Cause: TypeAlias = Any
Attributes: TypeAlias = Mapping[str, str | int | bool]


class Span(Protocol):
    def set_attributes(self, attributes: Attributes) -> None: ...


class Tracer(Protocol):
    """What listens. A span is the parent of those begun inside it, and ends with its block."""

    def span(self, name: str, causes: Iterable[Cause] | None, follows: str | None) -> AbstractContextManager[Span | None]: ...

    def here(self) -> Cause | None: ...

    def past(self, name: str, began_ns: int, ended_ns: int, attributes: Attributes) -> None: ...


_NOTHING: AbstractContextManager[None] = nullcontext()
_tracer: Tracer | None = None


def listen(tracer: Tracer | None) -> None:
    """From now on spans go to this tracer; None ends it. One a process."""
    global _tracer
    _tracer = tracer


def is_told() -> bool:
    """Whether anybody listens: what is looked up for a span alone is looked up only then."""
    return _tracer is not None


def span(name: str, causes: Iterable[Cause] | None = None, follows: str | None = None) -> AbstractContextManager[Span | None]:
    """A block of work with a name: `with span("memory") as told: …`; None while nobody listens.

    `causes` are what waits for it elsewhere, each from `here`: it is part of the first one's trace and linked to the others. `follows`
    is the correlation id of what led to it and is over.
    """
    if _tracer is None:
        return _NOTHING
    steps = _gathered.get()
    return _tracer.span(name, causes, follows) if steps is None else steps.setdefault(name, Step()).once()


def here() -> Cause | None:
    """The span that this is part of, for work that is done elsewhere; None where none is told."""
    return None if _tracer is None else _tracer.here()


def past(name: str, began_ns: int, ended_ns: int, attributes: Attributes) -> None:
    """A span that is over, between two moments in ns since 1970."""
    if _tracer is not None:
        _tracer.past(name, began_ns, ended_ns, attributes)


def correlation_of_run(run_id: str) -> str:
    """By which the trace of a pipeline's run is known: the run's id, without its hyphens."""
    return run_id.replace("-", "")


@dataclass(slots=True)
class Step:
    """One step of many elements at once: from the first that began it to the last that ended it."""

    began_ns: int = 0
    ended_ns: int = 0
    count: int = 0
    failed: int = 0
    spent_ns: int = 0
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    @contextmanager
    def once(self) -> Iterator[Step]:
        began_ns = time.time_ns()
        self.began_ns = self.began_ns or began_ns
        try:
            yield self
        except Exception:
            self.failed += 1
            raise
        finally:
            self.ended_ns = time.time_ns()
            self.spent_ns += self.ended_ns - began_ns
            self.count += 1

    def set_attributes(self, attributes: Attributes) -> None:
        """Words are counted; numbers and ids are each element's own."""
        for name, value in attributes.items():
            if isinstance(value, str) and not name.endswith("_id"):
                self.seen[name, value] = self.seen.get((name, value), 0) + 1

    def attributes(self) -> Attributes:
        counts = {f"{name}.{value}": count for (name, value), count in self.seen.items()}
        return {"precedent.count": self.count, "precedent.failed": self.failed, "precedent.spent_us": self.spent_ns // 1000} | counts


_gathered: ContextVar[dict[str, Step] | None] = ContextVar("gathered", default=None)


@contextmanager
def gathering() -> Iterator[None]:
    """Steps inside, of many elements at once, are told as one span a name, with their count and the time that they took together: a
    thousand elements would fill the queue of whoever sends spans.
    """
    if _tracer is None:
        yield
        return
    steps: dict[str, Step] = {}
    token = _gathered.set(steps)
    try:
        yield
    finally:
        _gathered.reset(token)
        for name, step in steps.items():
            past(name, step.began_ns, step.ended_ns, step.attributes())
