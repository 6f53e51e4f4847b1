"""Logs: one JSON object a line, on stderr, each with its request's correlation id."""

from __future__ import annotations

import logging
import sys

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer

from precedent.guard.redact import redact_event


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
