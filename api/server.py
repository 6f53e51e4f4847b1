"""The HTTP server of an API process: how many connections it holds, how long it waits on each, and how it ends.

Nobody holds a connection for nothing: a head that doesn't come, or goes on for ever, an answer that is not read, a body that still
comes after its answer, all end by a time-out. On SIGTERM new connections are refused, what was received is answered, and streams are
told to go on elsewhere.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.problems import Problem, problem_body
from precedent.settings import Settings

DRAIN_SECONDS = 15
HEAD_LIMIT_BYTES = 64 * 1024
LINGER_SECONDS = 2.0  # for the rest of a body whose answer was given: closed at once, the answer would be lost on its way
REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


class Connection(HttpToolsProtocol):
    """One connection. A timer runs only while the other side owes something; a request that comes whole costs none."""

    def __init__(self, settings: Settings, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._settings = settings
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._is_head_done = self._is_body_done = self._has_moved = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > self._settings.connection_limit:
            self._refuse(Problem(503, "TOO_MANY_CONNECTIONS", "this process holds as many connections as it may"))
            return
        self._wait(self._settings.head_timeout_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_waiting_to_write()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._settings.send_timeout_seconds, self._end)

    def resume_writing(self) -> None:
        self._stop_waiting_to_write()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._has_moved = True
        super().data_received(data)
        if self._is_body_done or self.transport.is_closing():
            return
        if self._is_head_done:
            if self._timer is None:
                self._wait(self._settings.body_timeout_seconds, self._body_is_late)
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_LIMIT_BYTES:
            self._refuse(Problem(431, "HEAD_TOO_LARGE", f"the head of a request has at most {HEAD_LIMIT_BYTES} bytes"))
        elif self._timer is None:
            self._wait(self._settings.head_timeout_seconds, self._head_is_late)

    def on_message_begin(self) -> None:
        self._is_head_done = self._is_body_done = False
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_head_done = True
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_body_done = True
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_head_done and not self._is_body_done and self.cycle.response_complete:
            self._wait(LINGER_SECONDS, self._end)
        elif self.transport.get_write_buffer_size():
            self._wait(self._settings.send_timeout_seconds, self._end_unread)

    def _wait(self, seconds: float, then: Any) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_waiting_to_write(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _head_is_late(self) -> None:
        self._timer = None
        if not self._head_bytes:
            self._end()  # nothing was asked
        else:
            self._refuse(Problem(408, "REQUEST_TIMEOUT", "the head of the request did not come in time"))

    def _body_is_late(self) -> None:
        """A body has its time. What may pause has it again for each pause; none is one in which we ourselves don't read."""
        self._timer = None
        if self.flow.read_paused or (self._has_moved and self.scope.get("may_pause")):
            self._has_moved = False
            self._wait(self._settings.body_timeout_seconds, self._body_is_late)
        elif self.cycle.response_started:
            self._end()
        else:
            self._refuse(Problem(408, "REQUEST_TIMEOUT", "the body of the request did not come in time"))

    def _end_unread(self) -> None:
        if self.transport.get_write_buffer_size():
            self._end()

    def _end(self) -> None:
        self.transport.abort()

    def _refuse(self, problem: Problem) -> None:
        """Answer in the application's place, and close; it is told that the caller went away."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        body = orjson.dumps(problem_body(problem, "/"))
        retry = b"retry-after: 1\r\n" if problem.status == 503 else b""
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n"
        self.transport.write(head % (problem.status, REASONS[problem.status], len(body), retry) + body)
        self.transport.close()
        self._wait(LINGER_SECONDS, self._end)


class Server(uvicorn.Server):
    """Tells the application that it is ending before it waits for what runs."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.is_stopping = True
        await super().shutdown(sockets)


def run(app: FastAPI, settings: Settings) -> None:
    """Serve until a signal ends it."""
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        http=partial(Connection, settings),  # type: ignore[arg-type]
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    Server(config, app).run()
