"""CloudEvents 1.0 as they come over HTTP: structured, binary and in batches, read into one event.

`source` and `id` are the event's identity: sent again, in whichever form, it is answered as the first time; another event under
them is refused. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, …/formats/json-format.md,
…/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from api.context import TRACEPARENT
from api.requests import CORRELATION_ID, LATEST_US, field_invalid, media_type_of, pointer_part
from precedent.clock import from_instant
from precedent.ledger.canonical import member_texts, parse_strict
from precedent.record import Happening

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
HEADER = b"ce-"

MAX_NAME_CHARS = 20  # the specification's advice; longer ones are lost in systems on the way
MAX_VALUE_CHARS = 1024
LARGEST_INTEGER = 2**31 - 1

_NAME = re.compile(r"[a-z0-9]+")
_URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+\-]+/[\w!#$&^.+\-]+[ \t]*(;[ -~]*)?", re.ASCII)
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_NANOSECONDS = re.compile(r"(\.[0-9]{6})[0-9]+")
_JSON_TYPE = re.compile(r"application/json|text/json|[a-z]+/[^;]*\+json")

# Where each attribute stands in what was sent.
Pointer = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event: what is recorded, by what it is known, and the one text of all that makes it this event."""

    happening: Happening
    source: str
    id: str
    content: bytes
    correlation_id: str | None


def is_binary(request: Request) -> bool:
    """Whether any attribute stands in a header."""
    return any(name.startswith(HEADER) for name in request.scope["headers_by_name"])


def read_structured(members: Mapping[str, Any], text: str, prefix: str = "") -> CloudEvent:
    """The event of a JSON object, with the text in which it was received.

    Raises: FieldInvalid with a pointer to the attribute.
    """

    def pointer(name: str) -> str:
        return f"{prefix}/{pointer_part(name)}"

    attributes = {name: value for name, value in members.items() if name not in {"data", "data_base64"} and value is not None}
    encoded = members.get("data_base64")
    if encoded is None:
        return _event(attributes, member_texts(text).get("data", "null"), members.get("data"), None, pointer, prefix)
    if members.get("data") is not None:
        raise field_invalid(pointer("data_base64"), "an event has data or data_base64, not both")
    if not isinstance(encoded, str) or not _is_base64(encoded):
        raise field_invalid(pointer("data_base64"), "data_base64 is a string of Base64 (RFC 4648)")
    return _event(attributes, "null", None, encoded, pointer, prefix)


def read_binary(request: Request, body: bytes) -> CloudEvent:
    """The event whose attributes are headers and whose data is the body.

    Raises: FieldInvalid, NotStrictJson.
    """
    attributes: dict[str, Any] = {}
    for header, value in request.scope["headers"]:
        if header.startswith(HEADER):
            name = header.removeprefix(HEADER).decode("latin-1")
            if name in attributes or name in {"data", "datacontenttype"}:
                raise field_invalid(f"/header/ce-{pointer_part(name)}", f"ce-{name[:64]} stands twice, or has another place")
            attributes[name] = _header_text(name, value)
    content_type = request.headers.get("content-type")
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    if not body:
        return _event(attributes, "null", None, None, _header_pointer, "")
    if _JSON_TYPE.fullmatch(media_type_of(request)):
        payload = parse_strict(body)
        return _event(attributes, body.decode().strip(), payload, None, _header_pointer, "")
    text = _plain_text(body) if media_type_of(request).startswith("text/") else None
    if text is None:
        return _event(attributes, "null", None, base64.b64encode(body).decode(), _header_pointer, "")
    return _event(attributes, json.dumps(text, ensure_ascii=False), text, None, _header_pointer, "")


def _event(
    attributes: dict[str, Any], payload_text: str, payload: object, encoded: str | None, pointer: Pointer, prefix: str
) -> CloudEvent:
    for name, value in attributes.items():
        _require_attribute(name, value, pointer)
    if attributes.get("specversion") != "1.0":
        raise field_invalid(pointer("specversion"), "specversion is '1.0'")
    source, event_id = (_required(attributes, name, pointer) for name in ("source", "id"))
    _require_uri(attributes, "source", pointer, is_absolute=False)
    _require_uri(attributes, "dataschema", pointer, is_absolute=True)
    if not _MEDIA_TYPE.fullmatch(attributes.get("datacontenttype", "a/b")):
        raise field_invalid(pointer("datacontenttype"), "datacontenttype is a media type (RFC 2046)")
    content = {"datacontenttype": "application/json"} | {name: _canonical(value) for name, value in attributes.items()}
    person = attributes.pop("datasubject", None)
    happening = Happening(
        type=_required(attributes, "type", pointer, 256),
        payload_text=payload_text,
        actor=_text(attributes, "actor", pointer, 256),
        ts_us=_time(attributes, pointer),
        source=source,
        subject=None if person is None else str(person),
        attributes=attributes | ({} if encoded is None else {"data_base64": encoded}),
        pointer=prefix,
    )
    return CloudEvent(happening, source, event_id, _content_of(content, payload, encoded), _correlation_of(attributes))


def _require_attribute(name: str, value: object, pointer: Pointer) -> None:
    """Name and type as the specification has them: what is no attribute of its own is an extension, and held to the same."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        raise field_invalid(pointer(name), f"an attribute's name has 1 to {MAX_NAME_CHARS} of a-z and 0-9")
    if isinstance(value, str):
        if not 0 < len(value) <= MAX_VALUE_CHARS or _UNFIT.search(value):
            raise field_invalid(pointer(name), f"{name} has 1 to {MAX_VALUE_CHARS} characters, none of which controls anything")
    elif name in {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "datasubject"}:
        raise field_invalid(pointer(name), f"{name} is a string")
    elif not isinstance(value, bool) and not (isinstance(value, int) and -LARGEST_INTEGER - 1 <= value <= LARGEST_INTEGER):
        raise field_invalid(pointer(name), f"{name} is a string, a boolean or an integer of 32 bits")


def _required(attributes: Mapping[str, Any], name: str, pointer: Pointer, limit: int = MAX_VALUE_CHARS) -> str:
    value = _text(attributes, name, pointer, limit)
    if value is None:
        raise field_invalid(pointer(name), f"an event has the attribute {name}")
    return value


def _text(attributes: Mapping[str, Any], name: str, pointer: Pointer, limit: int) -> str | None:
    value = attributes.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > limit):
        raise field_invalid(pointer(name), f"{name} is a string of 1 to {limit} characters")
    return value


def _require_uri(attributes: Mapping[str, Any], name: str, pointer: Pointer, *, is_absolute: bool) -> None:
    value = attributes.get(name)
    if value is not None and (not _URI_REFERENCE.fullmatch(value) or (is_absolute and not _SCHEME.match(value))):
        raise field_invalid(pointer(name), f"{name} is a URI{'' if is_absolute else ' or a reference to one'} (RFC 3986)")


def _time(attributes: Mapping[str, Any], pointer: Pointer) -> int | None:
    """Microseconds since 1970; further decimals are cut off, and kept in the attribute."""
    value = attributes.get("time")
    if value is None:
        return None
    try:
        at_us = from_instant(_NANOSECONDS.sub(r"\1", value, count=1))
    except (ValueError, OverflowError) as error:
        raise field_invalid(pointer("time"), "time is an RFC 3339 instant with a zone") from error
    if not 0 <= at_us < LATEST_US:
        raise field_invalid(pointer("time"), "time lies before 1970 or after 9999")
    return at_us


def _correlation_of(attributes: Mapping[str, Any]) -> str | None:
    """Of the extensions for it: `correlationid` where it can be one here, else the trace of `traceparent`."""
    named, trace = attributes.get("correlationid"), attributes.get("traceparent")
    if isinstance(named, str) and CORRELATION_ID.fullmatch(named):
        return named
    match = TRACEPARENT.fullmatch(trace) if isinstance(trace, str) else None
    return match.group(1) if match else None


def _header_pointer(name: str) -> str:
    return "/header/content-type" if name == "datacontenttype" else f"/header/ce-{pointer_part(name)}"


def _header_text(name: str, value: bytes) -> str:
    """A header's value, out of its quotes and its percent signs (HTTP binding, section 3.1.3.2)."""
    text = value.strip()
    if len(text) > 1 and text.startswith(b'"') and text.endswith(b'"'):
        text = re.sub(rb"\\(.)", rb"\1", text[1:-1])
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise field_invalid(_header_pointer(name), "a header's value is UTF-8, percent-encoded beyond printable ASCII") from error


def _plain_text(body: bytes) -> str | None:
    """The body as text that the ledger can hold; None where it is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _canonical(value: object) -> str:
    """An attribute as a string: in a header it is nothing else (specification, type system)."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _content_of(attributes: Mapping[str, str], payload: object, encoded: str | None) -> bytes:
    """One text of an event, however its JSON was spaced, ordered or its numbers were padded on the way."""
    return json.dumps([attributes, payload, encoded], sort_keys=True, default=_number, separators=(",", ":")).encode()


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else {"": str(value.normalize())}
    raise TypeError(f"no JSON for {type(value).__name__}")
