"""Spans as OpenTelemetry has them; off, and then free, unless an address for them is set. The extra `trace` brings what it imports.

A trace's id is the correlation id of its request, or the id of its pipeline's run, where that has the form of one: log, record and
trace are found by the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypedDict

from precedent import __version__, spans
from precedent.errors import PrecedentError, SettingsInvalid
from precedent.guard.redact import redact_text

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Link, Span, SpanContext, Tracer


class Quiet(TypedDict):
    record_exception: bool
    set_status_on_exception: bool


# An error's words may hold what is personal: a span says its code alone.
WITHOUT_WORDS: Quiet = {"record_exception": False, "set_status_on_exception": False}
TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")

_trace_id: ContextVar[int] = ContextVar("trace_id", default=0)


def provider_of(endpoint: str | None) -> TracerProvider | None:
    """What sends spans to an OTLP collector over HTTP, from a thread of its own; what does not fit its queue is dropped. None where
    no address is set.

    Raises: SettingsInvalid where OpenTelemetry is not installed.
    """
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsInvalid("PRECEDENT_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: the extra `trace`") from error
    return provider_with(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))


def provider_with(processor: SpanProcessor) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return _trace_id.get() or super().generate_trace_id()

    resource = Resource.create({"service.name": "precedent", "service.version": __version__})
    provider = TracerProvider(resource=resource, id_generator=Ids())
    provider.add_span_processor(processor)
    return provider


@contextmanager
def telling(provider: TracerProvider | None) -> Iterator[None]:
    """The core's steps go to this provider while the block runs; what waits is sent at its end. Without one, nothing changes."""
    if provider is None:
        yield
        return
    spans.listen(_Told(provider.get_tracer("precedent", __version__)))
    try:
        yield
    finally:
        spans.listen(None)
        provider.shutdown()


@contextmanager
def in_trace(known_as: str) -> Iterator[None]:
    """A trace that begins inside has this id, where it can be one."""
    token = _trace_id.set(int(known_as, 16) if TRACE_ID.fullmatch(known_as) else 0)
    try:
        yield
    finally:
        _trace_id.reset(token)


class _Told:
    """The core's spans, without the words of errors."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def span(self, name: str, causes: Iterable[SpanContext | None] | None, follows: str | None) -> AbstractContextManager[Span | None]:
        from opentelemetry.trace import Link, NonRecordingSpan, set_span_in_context

        if causes is None:
            return self._begun(name, None, [] if follows is None else [_link_to(follows)])
        waiting = list({cause.span_id: cause for cause in causes if cause is not None}.values())
        if not waiting:  # nobody who waits for it is told of
            return nullcontext()
        return self._begun(name, set_span_in_context(NonRecordingSpan(waiting[0])), [Link(cause) for cause in waiting[1:]])

    def here(self) -> SpanContext | None:
        from opentelemetry.trace import get_current_span

        found = get_current_span().get_span_context()
        return found if found.trace_flags.sampled else None

    def past(self, name: str, began_ns: int, ended_ns: int, attributes: spans.Attributes) -> None:
        self._tracer.start_span(name, start_time=began_ns, attributes=attributes).end(ended_ns)

    @contextmanager
    def _begun(self, name: str, context: Context | None, links: list[Link]) -> Iterator[Span]:
        with self._tracer.start_as_current_span(name, context=context, links=links, **WITHOUT_WORDS) as begun:
            try:
                yield begun
            except Exception as error:
                begun.set_attribute("error.type", code_of(error))
                raise


def code_of(error: Exception) -> str:
    """What a span may say of an error."""
    return error.code if isinstance(error, PrecedentError) else type(error).__name__


def _link_to(correlation_id: str) -> Link:
    """To the trace of that id. Which of its spans it was is not recorded, and a link that says more may be without."""
    from opentelemetry.trace import Link, SpanContext

    told = redact_text(correlation_id)
    trace_id = int(told, 16) if TRACE_ID.fullmatch(told) else 0
    return Link(SpanContext(trace_id, 0, is_remote=True), {"precedent.correlation_id": told})
