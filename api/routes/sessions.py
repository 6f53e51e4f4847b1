"""Sign-in and sign-out of the pages. A token is sent once, in a form; what comes back is a session that stands for it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api.pages import page
from api.pages.html import Html, element
from api.problems import Problem
from api.requests import media_type_of, receive_body, session_of
from api.services import Services, services_of
from precedent.errors import Forbidden, TokenUnknown
from precedent.guard.access import hash_of
from precedent.guard.session import COOKIE, ID_BYTES, SESSION_SECONDS, Session

router = APIRouter(include_in_schema=False)

FORM_LIMIT_BYTES = 8 * 1024
FORM = "application/x-www-form-urlencoded"
HOME = "/"


@router.get("/sign-in")
async def sign_in_page(request: Request) -> Response:
    """The form."""
    return page("Sign in", _form(safe_path(request.query_params.get("next", HOME))))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """A session for a valid token, then the page that was asked for."""
    services = services_of(request)
    require_own_page(request)
    fields = await read_form(request)
    target = safe_path(fields.get("next", HOME))
    token = fields.get("token", "").strip()
    try:
        await services.access.authenticate(token)
    except TokenUnknown:
        return page("Sign in", _form(target, "This token is unknown, expired or revoked."), 401)
    ends_at_seconds = services.clock.now_us() // 1_000_000 + SESSION_SECONDS
    session = Session(hash_of(token), services.clock.random_bytes(ID_BYTES), ends_at_seconds)
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        COOKIE,
        session.seal(services.keyring.session_key),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=_is_secure(request, services),
    )
    return answer


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Forget the session."""
    services = services_of(request)
    try:
        session = session_of(request, services)
    except TokenUnknown:
        session = None  # it has ended already: there is nothing left to protect
    if session is not None:
        await read_proven_form(request, services, session)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_secure(request, services))
    return answer


async def read_proven_form(request: Request, services: Services, session: Session) -> dict[str, str]:
    """The fields of a form that one of our own pages made for this session: for every form that changes something.

    Raises: Forbidden; Problem 413, 415.
    """
    require_own_page(request)
    fields = await read_form(request)
    session.require_form_proof(services.keyring.session_key, fields.get("form_proof", ""))
    return fields


def require_own_page(request: Request) -> None:
    """Raises: Forbidden where a browser says that another site's page sent this."""
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden("this form was sent by another site's page")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise Forbidden("this form was sent by another site's page")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a small form, each once.

    Raises: Problem 413, 415, 422.
    """
    if media_type_of(request) != FORM:
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", f"a form is {FORM}")
    body = await receive_body(request, FORM_LIMIT_BYTES, Problem(413, "BODY_TOO_LARGE", f"a form has up to {FORM_LIMIT_BYTES} bytes"))
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise Problem(422, "FIELD_INVALID", "the form can't be read") from error
    return {name: values[0] for name, values in fields.items()}


def safe_path(target: str) -> str:
    """`target` where it is a path of ours; a link to another host, however it is written, leads home."""
    is_path = target.startswith("/") and not target.startswith("//")
    return target if is_path and target.isascii() and target.isprintable() and "\\" not in target else HOME


def _is_secure(request: Request, services: Services) -> bool:
    """In production the cookie travels by TLS alone; on a laptop there is none."""
    return services.settings.mode == "production" or request.url.scheme == "https"


def _form(target: str, alert: str | None = None) -> Html:
    return element(
        "div",
        element("p", "These pages show decisions and their reasons to whoever holds a token with the scope read.", class_="soft"),
        element("p", alert, class_="alert", role="alert", id="alert") if alert else None,
        element(
            "form",
            element("label", "Token", for_="token"),
            element(
                "input",
                type="password",
                id="token",
                name="token",
                required=True,
                autofocus=True,
                autocomplete="current-password",
                spellcheck="false",
                aria_describedby="alert" if alert else None,
            ),
            element("input", type="hidden", name="next", value=target),
            element("button", "Sign in", type="submit"),
            method="post",
            action="/sign-in",
            class_="sheet",
        ),
    )
