"""The shapes of events, in each of the forms in which they come, and of what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel

from api.contracts import CorrelationId, Text
from api.models import IN_PLACE, Hex, Receipt, Strict


class EventRequest(BaseModel):
    """One event; or send an array of up to 1,000 of them."""

    type: Text
    actor: Text | None = None
    correlation_id: CorrelationId | None = Field(None, description="correlationId is accepted too")
    ts: datetime | None = None
    as_of: datetime | None = None
    source: Text | None = None
    subject: Text | None = Field(None, description="whom it concerns: the payload is then stored encrypted under that person's key")
    payload: Any = None


class EventAnswer(Strict):
    id: UUID
    type: str
    ts: datetime
    actor: str | None
    correlation_id: str
    source: str | None
    subject_id: UUID | None
    imported: bool
    payload: Any
    cloudevent: dict[str, Any] | None = Field(description="the attributes of a CloudEvent, with data_base64 where its data is no text")
    recorded_at: datetime
    hash: Hex
    prev_hash: Hex
    receipt: Receipt


class CloudEventRequest(BaseModel):
    """CloudEvents 1.0. Every other attribute is an extension: a string, a boolean or an integer of 32 bits.

    Extensions that mean something here: `actor`; `correlationid`, or else `traceparent`; `datasubject`, the person it concerns.
    """

    model_config = ConfigDict(extra="allow")
    specversion: Literal["1.0"]
    id: str = Field(min_length=1, max_length=1024, description="unique for the source: with it, the event's identity")
    source: str = Field(min_length=1, max_length=1024, description="a URI or a reference to one")
    type: str = Field(min_length=1, max_length=256)
    time: datetime | None = None
    subject: str | None = Field(None, min_length=1, max_length=1024, description="what it is about, within the source; stored in clear")
    datacontenttype: str | None = Field(None, min_length=1, max_length=1024)
    dataschema: str | None = Field(None, min_length=1, max_length=1024, description="an absolute URI")
    datasubject: str | None = Field(
        None, min_length=1, max_length=256, description="whom it concerns: data and attributes are then stored encrypted"
    )
    data: Any = None
    data_base64: str | None = Field(None, description="data that is neither JSON nor text, in place of `data`")


class CloudEventsRequest(RootModel[Annotated[list[CloudEventRequest | Any], Field(max_length=1000, description=IN_PLACE)]]):
    """A batch of CloudEvents."""


class EventStreamRequest(RootModel[str]):
    """One event a line, plain or a CloudEvent, of 64 KiB at most; any number of lines."""


class EventsAccepted(Strict):
    accepted: int
    ids: list[UUID | None] = Field(description="in order; null in the place of each that was refused")
    rejected: list[dict[str, Any]] = Field(description="each a problem, with its `index`")


class EventsStreamed(Strict):
    lines: int = Field(description="lines that held something")
    accepted: int
    refused: int
    rejected: list[dict[str, Any]] = Field(description="the first 100 problems, each with its `line`, from 1")
    last: dict[str, Any] | None = Field(description="id and receipt of the last event recorded: all before it are under the same head")
