"""The application: services opened at start, routes by domain, problems for every error, context around it all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from api.context import Context
from api.delivery import delivering
from api.lean import LeanRoutes
from api.metrics import Measurements
from api.openapi import describe
from api.pipeline import Pipeline
from api.problems import Problem, answer_error, problem_response
from api.replays import Replays
from api.routes import (
    access,
    changes,
    decisions,
    events,
    explanations,
    flags,
    health,
    jobs,
    ledger,
    metrics,
    outcomes,
    pages,
    policies,
    replays,
    reviews,
    sessions,
)
from api.scrape import Scrape
from api.services import open_services
from api.tracing import Traced
from precedent import __version__
from precedent.clock import Clock
from precedent.errors import PrecedentError
from precedent.settings import Settings, load_settings
from precedent.tracing import provider_of, telling

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

# Routes are tried in this order: those that are asked most come first.
ROUTERS = (
    decisions.hot_router, outcomes.hot_router, events.hot_router, health.router, decisions.router, outcomes.router, events.router,
    reviews.router, policies.router, changes.router, flags.router, jobs.router, replays.router, ledger.router, metrics.router,
    explanations.router, access.router, pages.router, sessions.router,
)  # fmt: skip


def create_app(settings: Settings | None = None, clock: Clock | None = None, traces: TracerProvider | None = None) -> FastAPI:
    """An ASGI application; settings come from the environment unless given."""
    settings = settings or load_settings()
    traces = traces or provider_of(settings.otlp_endpoint)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with telling(traces):
            async with serving(app):
                yield

    @asynccontextmanager
    async def serving(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, clock) as services, delivering(services):
            app.state.services = services
            app.state.pipeline = Pipeline(settings.dagster_address)
            app.state.replays = Replays(services.url, settings.chain, services.clock)
            try:
                yield
            finally:
                await app.state.replays.close()
                await app.state.pipeline.close()

    # The framework's own telemetry is off: `Traced` and `Measurements` tell more, and it asks on each request whether it is on.
    quiet = {"tracing": False, "metrics": False, "logs": False}
    app = FastAPIOffline(title="Precedent", version=__version__, lifespan=lifespan, debug=settings.debug, telemetry=quiet)
    app.state.measurements = Measurements()
    app.state.scrape = Scrape()
    app.state.is_stopping = False
    for router in reversed(ROUTERS):
        # As they are: `include_router` wraps each in another layer of matching, for prefixes and dependencies that none has.
        app.router.routes[:0] = router.routes
    _surround(app, traces)
    for kind in (PrecedentError, Problem, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer_problem)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def _surround(app: FastAPI, traces: TracerProvider | None) -> None:
    """Every route has our own layers around it, inside of the framework's; a lean one has these alone."""

    def layers(inner: ASGIApp) -> ASGIApp:
        return Context(inner if traces is None else Traced(inner, traces), app.state.measurements)

    app.add_middleware(layers)
    whole = app.build_middleware_stack
    app.build_middleware_stack = lambda: LeanRoutes(whole(), app.router.routes, layers)  # type: ignore[method-assign]


async def _answer_problem(request: Request, error: Exception) -> Response:
    problem = answer_error(error)
    request.scope["problem_code"] = problem.code
    if problem.status == 405:
        problem.headers["Allow"] = ", ".join(sorted(_methods_of(request)))
    return problem_response(problem, request.url.path)


def _methods_of(request: Request) -> set[str]:
    """What may be done at the path: by all of its routes, of which the framework's refusal names one, with the fewest parameters."""
    found: dict[int, set[str]] = {}
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found.setdefault(route.path.count("{"), set()).update(route.methods or ())
    return found[min(found)] if found else set()
