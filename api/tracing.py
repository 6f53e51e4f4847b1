"""One span a request, with those of its steps inside: only there where traces are on.

`traceparent` (W3C Trace Context) is honoured: the span continues the caller's trace, and follows its choice to be sampled or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from api.context import told_id
from precedent import __version__
from precedent.tracing import WITHOUT_WORDS, code_of, in_trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class Traced:
    """Inside of `Context`, around the routes."""

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
        known_as = told_id(scope)
        with (
            in_trace(known_as),
            self._tracer.start_as_current_span(scope["method"], context=parent, kind=self._kind, **WITHOUT_WORDS) as span,
        ):
            span.set_attribute("http.request.method", scope["method"])
            span.set_attribute("precedent.correlation_id", known_as)
            try:
                await self._app(scope, receive, send)
            except Exception as error:
                span.set_attribute("error.type", code_of(error))
                raise
            finally:
                route = getattr(scope.get("route"), "path", "(none)")
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
                if "problem_code" in scope:
                    span.set_attribute("error.type", scope["problem_code"])
