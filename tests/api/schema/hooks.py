"""How the generator of requests writes the media types that it doesn't know."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis.transport import SerializationContext


@schemathesis.serializer("application/x-ndjson")  # type: ignore[untyped-decorator]
def write_stream(context: SerializationContext, value: Any) -> bytes:
    """The text as it is: a stream is described as text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
