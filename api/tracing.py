"""Traces by OpenTelemetry: one span a request, with those of its steps inside; off, and then free, unless an address for them is set.

`traceparent` (W3C Trace Context) is honoured: the span continues the caller's trace, and follows its choice to be sampled or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypedDict

from starlette.types import ASGIApp, Receive, Scope, Send

from precedent import __version__, spans
from precedent.errors import SettingsInvalid
from precedent.guard.redact import redact_text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, Tracer


class Quiet(TypedDict):
    record_exception: bool
    set_status_on_exception: bool


# An error's words may hold what is personal: a span says its code alone.
WITHOUT_WORDS: Quiet = {"record_exception": False, "set_status_on_exception": False}


class Traced:
    """Inside of `Context`, around the routes: only there where traces are on."""

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._tracer = provider.get_tracer("precedent", __version__)
        self._kind = SpanKind.SERVER
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = scope["headers_by_name"]
        sent = {name: headers[name.encode()].decode("latin-1") for name in ("traceparent", "tracestate") if name.encode() in headers}
        parent = self._propagator.extract(sent)
        with self._tracer.start_as_current_span(scope["method"], context=parent, kind=self._kind, **WITHOUT_WORDS) as span:
            span.set_attribute("http.request.method", scope["method"])
            span.set_attribute("precedent.correlation_id", redact_text(scope["correlation_id"]))
            try:
                await self._app(scope, receive, send)
            except Exception as error:
                span.set_attribute("error.type", getattr(error, "code", type(error).__name__))
                raise
            finally:
                route = getattr(scope.get("route"), "path", "(none)")
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
                if "problem_code" in scope:
                    span.set_attribute("error.type", scope["problem_code"])


def provider_of(endpoint: str) -> TracerProvider:
    """What sends spans to an OTLP collector over HTTP, from a thread of its own; what does not fit its queue is dropped.

    Raises: SettingsInvalid where OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsInvalid("PRECEDENT_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: the extra `trace`") from error
    return provider_with(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))


def provider_with(processor: SpanProcessor) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(resource=Resource.create({"service.name": "precedent", "service.version": __version__}))
    provider.add_span_processor(processor)
    return provider


class _Steps:
    """The core's steps, without the words of errors."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_as_current_span(self, name: str) -> AbstractContextManager[Span]:
        return self._tracer.start_as_current_span(name, **WITHOUT_WORDS)


@contextmanager
def telling(provider: TracerProvider | None) -> Iterator[None]:
    """The core's steps go to this provider while the block runs; what waits is sent at its end."""
    if provider is None:
        yield
        return
    spans.listen(_Steps(provider.get_tracer("precedent", __version__)))
    try:
        yield
    finally:
        spans.listen(None)
        provider.shutdown()
