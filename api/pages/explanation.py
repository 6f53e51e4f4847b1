"""The page of one decision: what came out, why, what would have changed it, and where it stands in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.pages.html import Content, Html, element, join
from precedent.clock import from_instant, to_instant
from precedent.explanation import Explanation, Told, ToldRule
from precedent.memory.told import ToldPrecedents

STATES = {"held": "holds", "not": "does not hold", "error": "could not be evaluated", "not_asked": "not asked"}
KINDS = {"guard": "guard", "band": "band", "otherwise": "when nothing else decides"}
REVIEW_TITLES = {"escalation": "Waiting for a person", "reversible": "A person can reverse it", "audit": "Drawn for an audit"}
HASH_SHOWN = 16


def explanation_body(told: Explanation, chain: str, personal: Mapping[str, Any] | None) -> Html:
    """The page's body; `personal` only for whoever may read it."""
    return element(
        "div",
        _verdict(told),
        _section("What would change it", _counterfactual(told)),
        _reasons(told),
        _section("What the policy would do", _recommendation(told.recommendation)) if told.recommendation else None,
        _review(told.review),
        _section("What came of it", _outcome(told.outcome)) if told.outcome else None,
        _section("Rules, in the order in which they were asked", _rules(told.rules)),
        _section("Facts", _values(told.facts)),
        _section("What was known from before", _values(told.memory)) if told.memory else None,
        _section("Similar past cases", _precedents(told.precedents)) if told.precedents else None,
        _section("Snapshot that was known", element("p", f"{told.snapshot['scope']} of {told.snapshot['day']}", class_="card"))
        if told.snapshot
        else None,
        _section("Personal facts", _personal(personal)) if personal else None,
        _section("Policy and record", _record(told, chain)),
        class_=told.verdict,
    )


def when(instant: str | None) -> str:
    """An instant as people read it, to the second."""
    if instant is None:
        return "–"
    day, _, clock = to_instant(from_instant(instant)).partition("T")
    return f"{day} {clock[:8]} UTC"


def _verdict(told: Explanation) -> Html:
    level = f"AL{told.autonomy_level}: {told.level_text}" if told.verdict == "approve" else None
    asked = f"{told.node} · {told.action}, asked by {told.principal}"
    times = f"decided {when(told.decided_at)}" + (f", imported {when(told.recorded_at)}" if told.imported else "")
    return element(
        "div",
        element("p", told.reasons[0]["text"], class_="lead"),
        element("p", level) if level else None,
        element("p", asked, class_="soft small"),
        element("p", times, class_="soft small"),
        class_="verdict",
    )


def _reasons(told: Explanation) -> Html | None:
    if len(told.reasons) < 2:
        return None
    items: list[Content] = [element("li", reason["text"]) for reason in told.reasons[1:]]
    return _section("Further reasons", element("ul", items, class_="reasons"))


def _counterfactual(told: Explanation) -> Html:
    if told.counterfactual is None:
        return element("p", "No change of one fact alone was found that would have been approved with less authority.", class_="soft")
    return element("p", told.counterfactual["text"], class_="card")


def _recommendation(advice: Mapping[str, Any] | None) -> Html | None:
    return None if advice is None else element("p", f"{advice['verdict']} at AL{advice['level']}, by the rule {advice['rule']}")


def _review(review: Mapping[str, Any] | None) -> Html | None:
    if review is None:
        return None
    is_open = review["closed_at"] is None
    pairs = [("state", review["status"]), ("asked", review["to"] or "–"), ("since", when(review["opened_at"]))]
    pairs += [("raised to", f"{review['raised_to']}, {when(review['raised_at'])}")] if review["raised_at"] else []
    if not is_open:
        pairs += [
            ("answered", when(review["closed_at"])),
            ("by", review["reviewer"] or "its deadline"),
            ("answer", review["answer"] or "–"),
        ]
        pairs += [("reason", review["reason"])] if review["reason"] else []
    elif review["kind"] == "escalation":
        pairs += [("due", when(review["due_at"])), ("when nobody answers", review["on_timeout"] or "–")]
    elif review["kind"] == "reversible":
        pairs += [("can be reversed until", when(review["due_at"]))]
    title = REVIEW_TITLES[review["kind"]] if is_open else "The person's answer" if review["reviewer"] else "Nobody's answer"
    return _section(title, element("div", _pairs(pairs), class_="card"))


def _outcome(outcome: Mapping[str, Any] | None) -> Html | None:
    if outcome is None:
        return None
    reward = "none can be told" if outcome["reward"] is None else f"{outcome['reward']:g} of 1"
    pairs = [(told.name, told.text) for told in outcome["metrics"]]
    pairs += [("reward", reward), ("observed", when(outcome["observed_at"]))]
    return element("div", _pairs(pairs), class_="card")


def _rules(rules: Sequence[ToldRule]) -> Html:
    return element("ol", [_rule(rule) for rule in rules], class_="rules")


def _rule(rule: ToldRule) -> Html:
    kind = KINDS[rule.kind] + (f", AL{rule.level}" if rule.level is not None else "")
    state = "decided" if rule.decided else STATES[rule.state]
    read: list[Content] = [element("li", f"{told.name} {told.text}") for told in rule.read]
    return element(
        "li",
        element(
            "div",
            element("strong", rule.name.replace("_", " ")),
            element("span", kind, class_="soft small"),
            element("span", state, class_="state"),
            class_="head",
        ),
        element("p", rule.text) if rule.state != "not_asked" else None,
        element("ul", read, class_="read", aria_label="what it read") if read else None,
        class_=f"{rule.state} decided" if rule.decided else rule.state,
    )


def _values(values: Sequence[Told]) -> Html:
    return element("div", _pairs([(told.name, told.text) for told in values]), class_="card")


def _precedents(told: ToldPrecedents) -> Html:
    cases: list[Content] = [
        element("li", join(element("a", "a case", href=f"/decisions/{one.id}/explanation"), f" {one.text}")) for one in told.cases
    ]
    return element("div", element("p", told.text), element("ul", cases, class_="reasons") if cases else None, class_="card")


def _personal(personal: Mapping[str, Any]) -> Html:
    return element("div", _pairs([(name, str(value)) for name, value in personal.items()]), class_="card")


def _record(told: Explanation, chain: str) -> Html:
    control = told.control
    enabled = "halted" if control["halted"] else f"enabled up to AL{control['max_level']}" if control["enabled"] else "not enabled"
    proof = element("a", "its proof", href=f"/decisions/{told.id}/proof?wait=proof")
    pairs: list[tuple[str, Content]] = [
        ("policy", told.policy_version),
        ("what for", told.policy_description or "–"),
        ("answers for it", told.policy_owner),
        ("digest", element("code", told.policy_digest[:HASH_SHOWN] + "…", title=told.policy_digest)),
        ("action at that time", enabled),
        ("decision", element("code", str(told.id))),
        ("ledger", join(f"chain {chain}, entry {told.seq}; ", proof)),
        ("leaf", element("code", told.hash)),
        ("evaluator", told.evaluator),
    ]
    return element("div", _pairs(pairs), class_="card")


def _section(title: str, body: Html | None) -> Html:
    return element("section", element("h2", title), body)


def _pairs(pairs: Sequence[tuple[str, Content]]) -> Html:
    return element("dl", [join(element("dt", _breakable(name)), element("dd", value)) for name, value in pairs])


def _breakable(name: str) -> Html:
    """A name of ours may be long, and a phone is narrow: it breaks where its words end."""
    first, *rest = name.split("_")
    return join(first, *(join("_", element("wbr"), word) for word in rest))
