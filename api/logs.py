"""Logs: one JSON object a line, on stderr, each with its request's correlation id."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, BinaryIO

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer

from precedent.guard.redact import redact_event


class AccessLog:
    """Lines of requests, without the processors of other logs, which cost 30 µs a line. Those of one turn of the event loop are written
    at its end, together: a process that is killed loses that turn's, and no answer waits for a write of its own.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    def tell(self, event: dict[str, Any]) -> None:
        """Call it in an event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        self._stream.write(b"".join(lines))
        self._stream.flush()


def configure_logs(level: str) -> None:
    """Route structlog and the standard library's loggers to the same lines."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Without the frames' variables: those hold what was received, and keys.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
        redact_event,
    ]
    structlog.configure(
        processors=[*shared, render_line],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.INFO), force=True)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # its warnings repeat each reconnect; the API says it once


def render_line(logger: object, name: str, event: structlog.typing.EventDict) -> bytes:
    """The last processor: one line of JSON."""
    return orjson.dumps(event, default=str)
