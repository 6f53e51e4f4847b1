"""What parameters and members look like, said once for the OpenAPI document; the routes check them by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Path
from pydantic import BeforeValidator, Field

from precedent.clock import EPOCH, from_instant

NAME_PATTERN = "^[a-z][a-z0-9_]{0,63}$"
UUID_PATTERN = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
CORRELATION_PATTERN = "^[!-~]{1,128}$"
MAX_TEXT_CHARS = 256

UUID_SCHEMA: dict[str, Any] = {"format": "uuid", "pattern": UUID_PATTERN}
# Only described: what is wrong is refused by the route, with its own pointer.
Id = Annotated[str, Path(json_schema_extra=UUID_SCHEMA)]
Node = Annotated[str, Path(examples=["finance"])]
Named = Annotated[str, Path(json_schema_extra={"pattern": NAME_PATTERN}, examples=["finance"])]
Action = Annotated[str, Path(json_schema_extra={"pattern": NAME_PATTERN}, examples=["approve_discount"])]
Ref = Annotated[str, Path(description="name@version, or a name for its active version", examples=["finance-constitution@1.1.0"])]
PolicyName = Annotated[str, Path(examples=["finance-constitution"])]
Tile = Annotated[str, Path(examples=["0/000.p/1"])]

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
CorrelationId = Annotated[str, Field(pattern=CORRELATION_PATTERN)]


def _strict_instant(value: object) -> datetime:
    """The framework would take numbers too, and days."""
    if not isinstance(value, str):
        raise ValueError("an instant is text")
    try:
        return EPOCH + timedelta(microseconds=from_instant(value))
    except OverflowError as error:  # an offset leads out of the calendar
        raise ValueError("no calendar here has this instant") from error


Instant = Annotated[datetime, BeforeValidator(_strict_instant, json_schema_input_type=datetime)]
