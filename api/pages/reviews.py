"""The page of the queue: what waits for people, with a form for each answer that can be given."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from api.pages import Visitor, proof_field
from api.pages.explanation import when
from api.pages.html import Content, Html, element, join
from precedent.clock import instant_of
from precedent.people.answers import ANSWERS, REASON_LIMIT_CHARS
from precedent.people.reviews import KINDS, Filters, ReviewPage

TITLES = {"escalation": "needs an answer", "reversible": "took effect, can be reversed", "audit": "took effect, drawn for an audit"}
STATUSES = ("open", "overdue", "approved", "denied", "reversed", "confirmed")


def queue_body(found: ReviewPage, filters: Filters, node: str | None, visitor: Visitor | None) -> Html:
    """The page's body; forms only for whoever is signed in: they carry the session's proof."""
    query = {"status": filters.status, "kind": filters.kind, "node": node}
    empty = element("p", "Nothing is waiting." if filters.status == "open" else "There is none.", class_="soft")
    return element(
        "div",
        _choices("Status", "status", STATUSES, query),
        _choices("Kind", "kind", (None, *KINDS), query),
        *([_review(one, visitor) for one in found.reviews] or [empty]),
        element("p", element("a", "More", href=_link(query | {"after": found.next}))) if found.next else None,
    )


def _choices(title: str, name: str, values: tuple[str | None, ...], query: dict[str, str | None]) -> Html:
    links: list[Content] = [
        join(
            " ",
            element("strong", value or "all") if query[name] == value else element("a", value or "all", href=_link(query | {name: value})),
        )
        for value in values
    ]
    return element("p", f"{title}:", *links, class_="small")


def _link(query: dict[str, str | None]) -> str:
    return "/reviews?" + urlencode({name: value for name, value in query.items() if value is not None})


def _review(one: dict[str, Any], visitor: Visitor | None) -> Html:
    is_open = one["status"] == "open"
    pairs: list[tuple[str, Content]] = [("why", one["why"] or "–"), ("asked by", one["asked_by"] or "–")]
    pairs += [("recommended", one["recommended"])] if one["recommended"] else []
    pairs += [
        (
            "waits for" if is_open else "asked",
            " and ".join(name for name in (one["assigned_to"], one["raised_to"]) if name) or "whoever is on duty",
        )
    ]
    pairs += [("until", _instant(one["due_at"]) + (" (overdue)" if one["is_overdue"] else ""))] if one["due_at"] and is_open else []
    if not is_open:
        by = one["reviewer"] or "its deadline"
        pairs += [("answer", f"{one['status']} by {by}, {_instant(one['closed_at'])}"), ("reason", one["reason"] or "–")]
    pairs += [("decision", element("a", str(one["decision_id"]), href=f"/decisions/{one['decision_id']}/explanation"))]
    title = TITLES[one["kind"]] if is_open else one["status"]
    return element(
        "section",
        element("h2", f"{one['node']} · {one['action'].replace('_', ' ')}: {title}"),
        element(
            "div",
            element("dl", [join(element("dt", name), element("dd", value)) for name, value in pairs]),
            _form(one, visitor) if is_open and visitor and one["digest"] else None,
            class_="card",
        ),
    )


def _form(one: dict[str, Any], visitor: Visitor) -> Html:
    field = f"reason-{one['decision_id']}"
    buttons: list[Content] = [
        join(" ", element("button", word.capitalize(), type="submit", name="answer", value=word)) for word in ANSWERS[one["kind"]]
    ]
    return element(
        "form",
        proof_field(visitor),
        # Enter presses a form's first button: this one does nothing, so that nobody approves by finishing a sentence.
        element("button", type="submit", disabled=True, hidden=True),
        element("input", type="hidden", name="digest", value=one["digest"]),
        element("label", "Reason", for_=field),
        element("input", type="text", id=field, name="reason", required=True, maxlength=str(REASON_LIMIT_CHARS), autocomplete="off"),
        element("div", *buttons),
        method="post",
        action=f"/reviews/{one['decision_id']}",
        class_="sheet",
    )


def _instant(at: Any) -> str:
    return when(instant_of(at)) if at is not None else "–"
