"""Pages for people: plain HTML, no script, escaped by the template's caller."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template

from starlette.responses import HTMLResponse


def page(title: str, body_html: str, status: int = 200) -> HTMLResponse:
    """A page of our one layout; `body_html` is already HTML, `title` is text."""
    template = Template(files(__package__).joinpath("layout.html").read_text())
    return HTMLResponse(template.substitute(title=escape(title), body=body_html), status)
