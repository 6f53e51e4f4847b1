"""Errors as RFC 9457 problems: one stable code each, whose `type` opens a page that says what it means and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from importlib.resources import files
from math import ceil
from typing import Any

import orjson
import psycopg
import structlog
import yaml
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from precedent import errors
from precedent.errors import Fault, PrecedentError

log = structlog.get_logger("api")

STATUS: dict[type[PrecedentError], int] = {
    errors.NotStrictJson: 400,
    errors.InputRefused: 422,
    errors.TokenUnknown: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.IdempotencyKeyReused: 422,
    errors.Conflict: 409,
    errors.HeadMoved: 503,
    errors.RateExceeded: 429,
    errors.Unavailable: 503,
}


def _read_catalogue() -> dict[str, tuple[str, str]]:
    entries = yaml.safe_load(files("api.pages").joinpath("problems.yaml").read_text())
    return {code: (entry["title"], entry["meaning"].strip()) for code, entry in entries.items()}


# Every code that an answer can carry as its own, with its title and what it means to the caller.
CATALOGUE = _read_catalogue()


@dataclass(slots=True, eq=False)
class Problem(Exception):
    """An answer that is an error. `faults` go to `errors[]`; `members` stand beside those of RFC 9457, as its section 3.2 allows."""

    status: int
    code: str
    detail: str
    faults: Sequence[dict[str, Any]] = ()
    headers: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)


def answer_error(error: Exception) -> Problem:
    """The problem that an exception means; one that nobody expected is logged and says nothing of its insides."""
    match error:
        case Problem():
            return error
        case errors.PolicyInvalid():
            return Problem(422, error.code, str(error), [asdict(problem) for problem in error.problems])
        case psycopg.Error():  # what could not be reached is DatabaseUnavailable: here the database answered
            return answer_error(errors.DatabaseRefused(f"{type(error).__name__} {error.sqlstate}: {error}"))
        case PrecedentError():
            status = _status_of(error)
            if status >= 500:
                log.error("refused", code=error.code, error=str(error))
            return Problem(status, error.code, words_of(error), _faults(error), _headers(error, status), _members(error))
        case RequestValidationError():
            faults = [{"code": "FIELD_INVALID", "pointer": _pointer(one["loc"]), "message": one["msg"]} for one in error.errors()]
            return Problem(422, "FIELD_INVALID", faults[0]["message"] if faults else "invalid", faults)
        case HTTPException():
            code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "INPUT_REFUSED")
            return Problem(error.status_code, code, str(error.detail), (), dict(error.headers or {}))
        case ClientDisconnect():
            return Problem(400, "INPUT_REFUSED", "the caller went away before the body had come")
    log.error("unexpected", exc_info=error)
    return Problem(500, "INTERNAL", "the request could not be answered")


def words_of(error: PrecedentError | psycopg.Error) -> str:
    """What a caller is told of an error. The database's own words name hosts, folders and users: they are for the log."""
    if isinstance(error, errors.DatabaseUnavailable):
        return "the database does not answer"
    if isinstance(error, errors.DatabaseRefused | psycopg.Error):
        return "the database refuses what this service asks of it"
    return str(error) if _status_of(error) != 500 else "the service found itself in a state that must not be"


def problem_body(problem: Problem, instance: str) -> dict[str, Any]:
    """The members of RFC 9457, section 3.1, with `code`, `errors` and what else the problem says."""
    body: dict[str, Any] = {
        "type": f"/problems/{problem.code}",
        "title": CATALOGUE[problem.code][0],
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "code": problem.code,
    }
    if problem.faults:
        body["errors"] = list(problem.faults)
    return body | problem.members


def problem_response(problem: Problem, instance: str) -> Response:
    return Response(orjson.dumps(problem_body(problem, instance)), problem.status, problem.headers, "application/problem+json")


def _status_of(error: PrecedentError) -> int:
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def _faults(error: PrecedentError) -> list[dict[str, Any]]:
    faults: Sequence[Fault] = getattr(error, "faults", ())
    return [{"code": fault.code, "pointer": fault.pointer, "message": fault.message} for fault in faults]


def _members(error: PrecedentError) -> dict[str, str]:
    if not isinstance(error, errors.JobRunning):
        return {}
    return {name: value for name, value in (("run_id", error.run_id), ("page", error.page)) if value is not None}


def _headers(error: PrecedentError, status: int) -> dict[str, str]:
    if isinstance(error, errors.RateExceeded):
        return {"Retry-After": str(ceil(error.after_seconds))}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": "1"}
    return {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}


def _pointer(location: Sequence[Any]) -> str:
    """Of where FastAPI says it found the fault: `("query", "limit")` becomes `/query/limit`."""
    return "".join(f"/{part}" for part in location)
