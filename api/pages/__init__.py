"""Pages for people: plain HTML from our own server alone, no script, nothing that another host would have to send."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template

from starlette.responses import HTMLResponse

from api.pages.html import Html, element, join

_LAYOUT = Template(files(__package__).joinpath("layout.html").read_text(encoding="utf-8"))
_STYLE = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()

# The style is the only thing that a page may use beside its own markup; forms go to us; no other page may frame it.
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, and the proof that forms of this page carry."""

    name: str
    form_proof: str


def page(title: str, body: str | Html, status: int = 200, visitor: Visitor | None = None) -> HTMLResponse:
    """A page of our one layout; `body` is HTML already, `title` is text."""
    markup = body.text if isinstance(body, Html) else body
    account = _account(visitor).text if visitor else ""
    return HTMLResponse(_LAYOUT.substitute(title=escape(title), body=markup, style=_STYLE, account=account), status, HEADERS)


def proof_field(visitor: Visitor) -> Html:
    """The hidden field without which no form of ours is taken."""
    return element("input", type="hidden", name="form_proof", value=visitor.form_proof)


def _account(visitor: Visitor) -> Html:
    button = element("button", "Sign out", type="submit", class_="quiet")
    form = element("form", proof_field(visitor), button, method="post", action="/sign-out")
    return join(element("span", "signed in as ", element("strong", visitor.name)), form)
