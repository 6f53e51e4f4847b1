"""`python -m api`, but for one thing: the answer to a request with `x-withhold: NAME` goes into a file of that name, and to nobody.

It is written when the application has given it, so after the commit; whoever kills this process then has killed it between the two.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.__main__ import logged_app
from api.server import run
from precedent.settings import load_settings

FOLDER = "WITHHELD_FOLDER"


class Withholding:
    """Around everything, the lean routes too: nothing of such an answer reaches the connection."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self._app = app
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = dict(scope.get("headers", ())).get(b"x-withhold")
        if name is None:
            await self._app(scope, receive, send)
            return
        status, body = 0, b""

        async def keep(message: Message) -> None:
            nonlocal status, body
            status = message.get("status", status)
            body += message.get("body", b"")
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                aside = self._folder / f".{name.decode()}"
                aside.write_bytes(b"%d\n" % status + body)
                aside.replace(self._folder / name.decode())
                await asyncio.Event().wait()

        await self._app(scope, receive, keep)


def main() -> None:
    settings = load_settings()
    app = logged_app(settings)
    whole = app.build_middleware_stack
    app.build_middleware_stack = lambda: Withholding(whole(), Path(os.environ[FOLDER]))  # type: ignore[method-assign]
    run(app, settings)


if __name__ == "__main__":
    main()
