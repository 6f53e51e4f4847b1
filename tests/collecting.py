"""A collector of traces: takes what is sent by OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATH = "/v1/traces"


@dataclass
class Collector:
    address: str
    received: Queue[tuple[str, bytes]] = field(default_factory=Queue)

    def next_names(self) -> set[str]:
        """The names of the spans that came together, at the path of OTLP."""
        path, body = self.received.get(timeout=20)
        assert path == PATH
        sent = ExportTraceServiceRequest.FromString(body)
        return {span.name for resource in sent.resource_spans for scope in resource.scope_spans for span in scope.spans}


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.received.put((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}{PATH}")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
