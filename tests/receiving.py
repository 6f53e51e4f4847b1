"""A real HTTP server on loopback that keeps what it was sent and answers as it is told: Slack, or whoever receives webhooks."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Request:
    """One that came: header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Receiver:
    """What came, in order, and the address to send to."""

    url: str
    answer: Callable[[Request], Reply]
    requests: list[Request] = field(default_factory=list)
    grown: threading.Condition = field(default_factory=threading.Condition)

    def take(self, request: Request) -> Reply:
        with self.grown:
            self.requests.append(request)
            self.grown.notify_all()
        return self.answer(request)

    def await_requests(self, count: int) -> list[Request]:
        """The first `count` that came, once there are so many."""
        with self.grown:
            assert self.grown.wait_for(lambda: len(self.requests) >= count, timeout=60), self.requests
            return self.requests[:count]


@contextmanager
def receiving(answer: Callable[[Request], Reply] = lambda _: Reply(), tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that listens while the block runs; with `tls`, under that."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            reply = receiver.take(Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(reply.status)
            for name, value in {"content-length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer_as_slack(request: Request) -> Reply:
    """Slack's answers to a message; `#nowhere` does not exist."""
    if request.json["channel"] == "#nowhere":
        return Reply(body=b'{"ok": false, "error": "channel_not_found"}')
    return Reply(body=b'{"ok": true, "channel": "C1", "ts": "1.2"}')
