"""What many operations have in common, said once for the OpenAPI document: headers, problems, and the examples of each.

`examples.json` holds a body and the answers of every operation, by method and path, as the running application gave them; a test asks
it again and holds them to that. Problems are made here by what makes the real ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from api.contracts import CORRELATION_PATTERN
from api.problems import Problem, problem_body
from precedent.ledger.idempotency import MAX_KEY_CHARS

EXAMPLES = Path(__file__).with_name("examples.json")
# They change nothing, so there is nothing that a key could keep from being done twice.
TAKE_NO_KEY = frozenset({("post", "/policies/validate"), ("post", "/replays")})
_ASKED = "/decisions/finance"
_OVERLOADED = Problem(503, "DATABASE_UNAVAILABLE", "the database does not answer")
_INVALID = Problem(
    422,
    "FACTS_INVALID",
    "couldn't accept the facts: deal_value is missing",
    [{"code": "MISSING_FACT", "pointer": "/facts/deal_value", "message": "deal_value is missing"}],
)
_TOKEN_HEADERS = ("RateLimit", "RateLimit-Policy")


def _header(description: str, schema: dict[str, Any], example: object) -> dict[str, Any]:
    return {"description": description, "schema": schema, "example": example}


_TEXT = {"type": "string"}
HEADERS = {
    "x-cid": _header(
        "The correlation id: the one that was sent, else a new one", {"type": "string", "pattern": CORRELATION_PATTERN}, "deal-4711"
    ),
    "RateLimit": _header("What is left of the token's rate, and in how many seconds it is whole again", _TEXT, '"token";r=1999;t=1'),
    "RateLimit-Policy": _header("How many requests the token may make in how many seconds", _TEXT, '"token";q=2000;w=1'),
    "Idempotent-Replayed": _header(
        "`true` where the same request was done before under this key, and this is its answer; of a batch, where every element was",
        {"type": "string", "enum": ["true"]},
        "true",
    ),
    "Retry-After": _header("Seconds after which to try again", {"type": "integer", "minimum": 0}, 1),
    "WWW-Authenticate": _header("How to say who asks", _TEXT, "Bearer"),
    "Location": _header(
        "Where to ask how it does", {"type": "string", "format": "uri-reference"}, "/replays/01a210d7-d596-78e8-a760-f1d9d97dbd4e"
    ),
}
PARAMETERS = {
    "x-cid": {
        "name": "x-cid",
        "in": "header",
        "required": False,
        "description": "A correlation id: in logs, entries and the answer. Without it the trace id of `traceparent`, else `x-request-id`.",
        "schema": {"type": "string", "pattern": CORRELATION_PATTERN},
        "example": "deal-4711",
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Sent again under its key, a request is answered as the first time and nothing is done twice. A key belongs to one "
        "token, method, path and body: with another body it is refused. A CloudEvent sent alone takes none: its source and id are one.",
        "schema": {"type": "string", "pattern": f"^[ -~]{{1,{MAX_KEY_CHARS}}}$"},
        "example": "0199a1b2-7c1d-7e5f-9a51-0d8e6f2b4c3a",
    },
}


def _problem(description: str, problem: Problem, *headers: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemAnswer"}
    return {
        "description": description,
        "headers": _named(["x-cid", *headers]),
        "content": {"application/problem+json": {"schema": schema, "example": problem_body(problem, _ASKED)}},
    }


def _named(headers: list[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


# By the name under which each is kept.
_PROBLEMS = {
    "Unknown": _problem("Nobody is known by what was sent", Problem(401, "TOKEN_UNKNOWN", "no bearer token was sent"), "WWW-Authenticate"),
    "Forbidden": _problem(
        "The token lacks the scope or the node",
        Problem(403, "SCOPE_MISSING", "this token lacks the scope decisions:write"),
        *_TOKEN_HEADERS,
    ),
    "TooMany": _problem(
        "The token asks too often",
        Problem(429, "RATE_EXCEEDED", "this token may make 2000 requests in 1 s"),
        *_TOKEN_HEADERS,
        "Retry-After",
    ),
    "Unavailable": _problem("Nothing was done, or what was is found again by the same key", _OVERLOADED, "Retry-After"),
    "Problem": _problem("A problem", _INVALID),
}
_RESPONSES = {"401": "Unknown", "403": "Forbidden", "429": "TooMany", "503": "Unavailable", "default": "Problem"}


def components() -> dict[str, Any]:
    """What the operations refer to."""
    return {"headers": HEADERS, "parameters": PARAMETERS, "responses": _PROBLEMS}


def read_examples() -> dict[str, Any]:
    """By `METHOD /path`: `body` by media type, `answers` by status and media type."""
    found: dict[str, Any] = orjson.loads(EXAMPLES.read_bytes())
    return found


def complete(method: str, path: str, operation: dict[str, Any], example: dict[str, Any]) -> None:
    """Give an operation, whose `security` is settled, its headers, its problems and its examples."""
    security = operation.get("security", [{"token": []}])
    has_token, has_any = any("token" in way for way in security), bool(security)
    takes_key = method in {"post", "put"} and (method, path) not in TAKE_NO_KEY
    parameters = ["x-cid", *(["Idempotency-Key"] if takes_key else [])]
    operation["parameters"] = [*operation.get("parameters", []), *({"$ref": f"#/components/parameters/{name}"} for name in parameters)]
    headers = ["x-cid", *(_TOKEN_HEADERS if has_token else ()), *(["Idempotent-Replayed"] if takes_key else [])]
    if path in {"/replays", "/jobs/{job}/run"}:
        headers.append("Location")
    for response in operation["responses"].values():
        response["headers"] = _named(headers)
    statuses = [*(["401"] if has_any else []), *(["403", "429"] if has_token else []), "503", "default"]
    for status in statuses:
        shared = {"$ref": f"#/components/responses/{_RESPONSES[status]}"}
        operation["responses"].setdefault(status, shared)
    contents = [(operation.get("requestBody", {}).get("content", {}), example.get("body", {}))]
    contents += [(operation["responses"].get(status, {}).get("content", {}), found) for status, found in example.get("answers", {}).items()]
    for content, values in contents:
        for media_type, value in values.items():
            content[media_type]["example"] = value
