"""Pages for people: where things are, and what each problem means."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from api.pages import page
from api.problems import CATALOGUE
from api.services import services_of

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index(request: Request) -> HTMLResponse:
    """Where everything is."""
    settings = services_of(request).settings
    rows = [
        ("/reviews", "What waits for people (with a token that may review)"),
        ("/docs", "The API, route by route"),
        ("/ready", "Whether decisions can be made"),
        ("/metrics", "Measurements (from this machine, or with a token)"),
        ("/problems", "What each error means"),
        (settings.dagster_address, "Dagster: assets, checks, runs"),
        (settings.docs_url, "dbt: models, columns, lineage"),
    ]
    links = "".join(f'<tr><td><a href="{escape(url)}">{escape(url)}</a></td><td>{escape(what)}</td></tr>' for url, what in rows)
    return page("Decisions within authority that people wrote down", f"<table>{links}</table>")


@router.get("/problems")
async def problems() -> HTMLResponse:
    """Every code."""
    rows = "".join(
        f'<tr><td><a href="/problems/{code}"><code>{code}</code></a></td><td>{escape(title)}</td></tr>'
        for code, (title, _) in sorted(CATALOGUE.items())
    )
    return page("Problems", f"<table>{rows}</table>")


@router.get("/problems/{code}")
async def problem(code: str) -> HTMLResponse:
    """What one code means and what to do."""
    if code not in CATALOGUE:
        return page("No such problem", '<p>See <a href="/problems">all problems</a>.</p>', 404)
    title, meaning = CATALOGUE[code]
    return page(title, f'<p><code>{code}</code></p><p>{escape(meaning)}</p><p><a href="/problems">All problems</a></p>')
