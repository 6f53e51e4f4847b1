"""Where the time of a request goes, told to whoever listens; while nobody does, a span costs a call and a comparison.

The core names its steps here and knows no tracing library: a shell that has one listens with its tracer.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol


class Tracer(Protocol):
    """As of OpenTelemetry: a span that is the parent of those begun inside it, and that ends with the block."""

    def start_as_current_span(self, name: str) -> AbstractContextManager[Any]: ...


_NOTHING: AbstractContextManager[None] = nullcontext()
_tracer: Tracer | None = None


def listen(tracer: Tracer | None) -> None:
    """From now on spans go to this tracer; None ends it. One a process."""
    global _tracer
    _tracer = tracer


def span(name: str) -> AbstractContextManager[Any]:
    """A block of work with a name: `with span("memory"): …`."""
    return _NOTHING if _tracer is None else _tracer.start_as_current_span(name)
