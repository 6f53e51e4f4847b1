"""Routes of the hot way: documented like any other, served without the framework's own way to an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send


class LeanRoute(APIRoute):
    """For an endpoint that takes the request and its path parameters as text, and returns a `Response`."""


class LeanRoutes:
    """Outermost: a request for a lean route goes to its endpoint through `layers`, which answer what it raises, and through nothing else.

    The framework's way there solves dependencies and validates parameters that such an endpoint hasn't got, under eight layers, some
    of which catch exceptions: a quarter of what a decision costs this process.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute], layers: Callable[[ASGIApp], ASGIApp]) -> None:
        self._app = app
        self._routes = [route for route in routes if isinstance(route, LeanRoute)]
        self._layered = layers(_answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in self._routes:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found, route=route)
                    await self._layered(scope, receive, send)
                    return
        await self._app(scope, receive, send)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    """By the endpoint of a route that was found already."""
    response = await scope["route"].endpoint(Request(scope, receive, send), **scope["path_params"])
    await response(scope, receive, send)
