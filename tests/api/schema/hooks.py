"""How the generator of requests writes the media types that it doesn't know."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis.transport import SerializationContext


@schemathesis.serializer("application/x-ndjson")  # type: ignore[untyped-decorator]
def write_stream(context: SerializationContext, value: Any) -> bytes:
    """The text as it is: a stream is described as text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, _: dict[str, Any]) -> None:
    """Each valid key stands for one request: a key that was used for another body is refused, as it should be, and says nothing else."""
    headers = case.headers or {}
    if "Idempotency-Key" in headers and (case.meta is None or case.meta.generation.mode.is_positive):
        headers["Idempotency-Key"] = str(uuid4())
