"""What every route needs of a request: who asks, the body within its limits, its members one by one, the idempotency key."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from starlette.requests import ClientDisconnect, Request

from api.problems import Problem
from api.services import Services
from precedent.call import Call
from precedent.clock import from_instant
from precedent.errors import Fault, FieldInvalid, TokenUnknown
from precedent.guard.access import Principal
from precedent.guard.session import COOKIE, Session, open_session
from precedent.ledger.canonical import parse_strict
from precedent.ledger.idempotency import Claim, claim_of

# What changes nothing: another site that makes a browser send its session there learns nothing and does nothing by it.
SAFE_METHODS = frozenset({"GET", "HEAD"})
LOOPBACK = frozenset({"127.0.0.1", "::1"})
MAX_TEXT_CHARS = 256
CORRELATION_ID = re.compile(r"[!-~]{1,128}")
NO_CORRELATION_ID = "a correlation id has 1 to 128 printable ASCII characters without spaces"
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MAX_SEQ = 2**63 - 1
LATEST_US = from_instant("9999-12-31T00:00:00Z")


async def authenticate(request: Request, services: Services, scope: str, node: str | None = None) -> Principal:
    """Whoever sent the bearer token, if it has `scope` (for `node`) and has not asked too often. To read, a session will do.

    Raises: TokenUnknown, ScopeMissing, RateExceeded, DatabaseUnavailable.
    """
    principal = await identify(request, services)
    allowance = request.scope["allowance"] = services.rates.take(principal.name, principal.rate_per_second)
    allowance.require()
    principal.require(scope, node)
    return principal


async def identify(request: Request, services: Services) -> Principal:
    """Whoever asks, whatever they may do and however often.

    Raises: TokenUnknown, DatabaseUnavailable.
    """
    scheme, _, token = _header(request, b"authorization").partition(" ")
    if scheme.lower() == "bearer" and token:
        return await services.access.authenticate(token.strip())
    if request.method in SAFE_METHODS and (session := session_of(request, services)) is not None:
        return await services.access.authenticate_hash(session.token_hash)
    raise TokenUnknown("no bearer token was sent")


def session_of(request: Request, services: Services) -> Session | None:
    """The session that the browser sent; None where it sent none.

    Raises: TokenUnknown where it is not ours, or has ended.
    """
    sealed = request.cookies.get(COOKIE) if b"cookie" in request.scope["headers_by_name"] else None
    return None if sealed is None else open_session(services.keyring.session_key, sealed, services.clock.now_us())


def require_internal(request: Request, services: Services) -> None:
    """Raises: TokenUnknown unless `x-internal-token` is the configured one."""
    expected = services.settings.internal_job_token
    sent = request.headers.get("x-internal-token", "")
    if expected is None or not hmac.compare_digest(expected.get_secret_value().encode(), sent.encode()):
        raise TokenUnknown("x-internal-token is missing or wrong")


def is_loopback(request: Request) -> bool:
    """Whether the caller is on this machine, and no proxy speaks for somebody else."""
    return request.client is not None and request.client.host in LOOPBACK and "x-forwarded-for" not in request.headers


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body. It stops reading at the limit, whatever Content-Length says.

    Raises: Problem 413, 415.
    """
    media_type = media_type_of(request)
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", f"'{media_type or '(none)'}' is not application/json")
    return await read_bytes(request, limit_bytes)


async def read_bytes(request: Request, limit_bytes: int) -> bytes:
    """The same of a body of any type.

    Raises: Problem 413.
    """
    too_large = Problem(413, "BODY_TOO_LARGE", f"the body has more than {limit_bytes} bytes")
    declared = _header(request, b"content-length", "0")
    if not (declared.isascii() and declared.isdecimal()) or int(declared) > limit_bytes:
        raise too_large
    return await receive_body(request, limit_bytes, too_large)


async def receive_body(request: Request, limit_bytes: int, too_large: Problem) -> bytes:
    """The bytes of a body of any type, up to the limit; raises `too_large` as soon as they are more."""
    body = b""
    has_more = True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) > limit_bytes:
            raise too_large
    return body


def media_type_of(request: Request) -> str:
    """The content type without its parameters, in lower case; empty where none was sent."""
    return _header(request, b"content-type").partition(";")[0].strip().lower()


def _header(request: Request, name: bytes, default: str = "") -> str:
    """By one look-up in what `Context` laid out; the framework's headers are searched from the start each time."""
    value: bytes | None = request.scope["headers_by_name"].get(name)
    return default if value is None else value.decode("latin-1")


def parse_object(body: bytes | str) -> dict[str, Any]:
    """Raises: NotStrictJson; FieldInvalid where the value is no object."""
    value = parse_strict(body)
    if not isinstance(value, dict):
        raise field_invalid("", "the body is a JSON object")
    return value


def call_of(request: Request, services: Services, principal: Principal, received: bytes, correlation_id: object = None) -> Call:
    """What the core needs to know of the call; a correlation id in the body goes before the header's.

    Raises: FieldInvalid.
    """
    if correlation_id is not None:
        request.scope["is_callers_id"] = True
        request.scope["correlation_id"] = _require_correlation_id(correlation_id, "/correlation_id")
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
    claim = idempotency_claim(request, services, principal, received)
    return Call(principal.name, request.scope["correlation_id"], request.scope["received_ns"], received, claim)


def idempotency_claim(request: Request, services: Services, principal: Principal, received: bytes) -> Claim | None:
    """What the request claims by its Idempotency-Key, if it has one.

    Raises: FieldInvalid.
    """
    if b"idempotency-key" not in request.scope["headers_by_name"]:
        return None
    key = _header(request, b"idempotency-key")
    return claim_of(services.keyring, principal.name, request.method, request.scope["path"], key, received)


def correlation_id_of(members: Mapping[str, Any]) -> Any:
    """As it came in the body, under either spelling."""
    return members.get("correlation_id", members.get("correlationId"))


def call_at(call: Call, place: int, members: Mapping[str, Any], received: str, pointer: str) -> Call:
    """The call of one element of a batch: its own words, its own place under the batch's key, its own correlation id if it has one.

    Raises: FieldInvalid.
    """
    correlation_id = correlation_id_of(members)
    return Call(
        call.principal,
        call.correlation_id if correlation_id is None else _require_correlation_id(correlation_id, f"{pointer}/correlation_id"),
        call.received_ns,
        received.encode(),
        call.claim.at(place) if call.claim else None,
    )


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a JSON object, taken one by one; those that nobody took are refused."""

    values: Mapping[str, Any]
    prefix: str = ""

    def require_known(self, *names: str) -> None:
        """Raises: FieldInvalid naming each member that has no meaning here."""
        unknown = [name for name in self.values if name not in names]
        if unknown:
            faults = [
                Fault("UNKNOWN_FIELD", f"{self.prefix}/{pointer_part(name)}", f"'{name[:64]}' has no meaning here") for name in unknown[:20]
            ]
            raise FieldInvalid(f"unknown member '{unknown[0][:64]}'", faults)

    def text(self, name: str, *, is_required: bool = False, limit: int = MAX_TEXT_CHARS) -> str | None:
        value = self.values.get(name)
        if value is None and not is_required:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            raise self.fault(name, f"{name} is a string of 1 to {limit} characters")
        return value

    def integer(self, name: str, least: int, most: int) -> int | None:
        value = self.values.get(name)
        if isinstance(value, Decimal) and value == value.to_integral_value():
            value = int(value)  # 2.0 is an integer to JSON Schema
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise self.fault(name, f"{name} is {least} to {most}")
        return value

    def uuid(self, name: str) -> UUID | None:
        value = self.values.get(name)
        return None if value is None else parse_uuid(value, f"{self.prefix}/{name}")

    def instant_us(self, name: str) -> int | None:
        value = self.values.get(name)
        if value is None:
            return None
        try:
            if not isinstance(value, str) or len(value) > 40:
                raise ValueError("not an instant")
            at_us = from_instant(value)
        except (ValueError, OverflowError) as error:
            raise self.fault(name, f"{name} is an RFC 3339 instant with a zone") from error
        # An offset can carry the last hours of 9999 into a year that no calendar here has.
        if not 0 <= at_us < LATEST_US:
            raise self.fault(name, f"{name} lies before 1970 or after 9999")
        return at_us

    def object(self, name: str) -> dict[str, Any]:
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.fault(name, f"{name} is an object")
        return value

    def fault(self, name: str, message: str) -> FieldInvalid:
        return field_invalid(f"{self.prefix}/{name}", message)


def field_invalid(pointer: str, message: str) -> FieldInvalid:
    """One member that breaks its contract."""
    return FieldInvalid(message, [Fault("FIELD_INVALID", pointer, message)])


def parse_uuid(value: object, pointer: str) -> UUID:
    """Raises: FieldInvalid."""
    # `UUID()` itself is lax: it takes braces, underscores among the digits and digits of other scripts.
    if not isinstance(value, str) or not UUID_TEXT.fullmatch(value):
        raise field_invalid(pointer, "an id is a UUID in its 36 characters")
    return UUID(value)


def _require_correlation_id(value: object, pointer: str) -> str:
    if not isinstance(value, str) or not CORRELATION_ID.fullmatch(value):
        raise field_invalid(pointer, NO_CORRELATION_ID)
    return value


def pointer_part(name: str) -> str:
    """A member's name as a JSON pointer writes it (RFC 6901)."""
    return name[:64].replace("~", "~0").replace("/", "~1")
