"""A decision in words: as JSON for programs, as a page for people, and nothing personal without the right to it."""

from __future__ import annotations

import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from in_process import Api

from api.routes.explanations import prefers_html
from precedent.memory.embedder import TypedEmbedder
from precedent.memory.embedding import embed_last
from precedent.policy.change import activate
from precedent.policy.registry import publish
from precedent.settings import project_root

SIMILAR_CASES = project_root() / "examples/precedents/finance-constitution-1.2.0.yaml"

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SECRET_NOTE, CUSTOMER = "<script>alert(1)</script> call me", "C-4711"


def explain(api: Api, decision: dict[str, Any], **headers: str) -> Any:
    return api.client.get(f"/decisions/{decision['id']}/explanation", headers=headers)


def told(api: Api, **facts: Any) -> dict[str, Any]:
    answer = explain(api, api.decide(facts=facts))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_deciding_rule_and_every_other_is_told_with_what_it_read(api: Api) -> None:
    explanation = told(api, requested_discount_pct=0.08)
    assert explanation["headline"] == "Approved, and in effect"
    states = {rule["name"]: (rule["state"], rule["decided"]) for rule in explanation["rules"]}
    assert states == {
        "below_cost": ("not", False),
        "tight": ("not", False),
        "broad": ("held", True),
        "full": ("not_asked", False),
        "otherwise": ("not_asked", False),
    }
    texts = {rule["name"]: rule["text"] for rule in explanation["rules"]}
    assert texts["below_cost"] == "requested_discount_pct 8 % is at most base_margin_pct (31 %)"
    assert texts["tight"] == "the tight band needs requested_discount_pct at most 5 %, it is 8 %"
    assert texts["broad"] == "8 % off at 31 % margin lies within the broad band (12 %, 23 %)"
    (broad,) = [rule for rule in explanation["rules"] if rule["name"] == "broad"]
    assert {one["name"]: (one["text"], one["value"]) for one in broad["read"]} == {
        "requested_discount_pct": ("8 %", 800),
        "base_margin_pct": ("31 %", 3100),
    }
    assert [one["name"] for one in explanation["facts"]] == ["deal_value", "base_margin_pct", "requested_discount_pct", "customer_tier"]
    assert explanation["facts"][0]["text"] == "12,000 USD"


@pytest.mark.parametrize(("discount", "verdict", "headline", "rule", "change"), [
    (0.08, "approve", "Approved, and in effect", "broad", "3 points less requested_discount_pct would act within tight guardrails (AL1)"),
    (0.18, "escalate", "A person decides", "otherwise", "3 points less requested_discount_pct would act within full guardrails (AL3)"),
    (0.40, "deny", "Denied", "below_cost", "25 points less requested_discount_pct would act within full guardrails (AL3)"),
])  # fmt: skip
def test_every_verdict_has_its_words_and_its_nearest_change(
    api: Api, discount: float, verdict: str, headline: str, rule: str, change: str
) -> None:
    explanation = told(api, requested_discount_pct=discount)
    assert (explanation["verdict"], explanation["headline"], explanation["rule"]) == (verdict, headline, rule)
    assert explanation["counterfactual"]["text"] == change
    assert [one["name"] for one in explanation["rules"] if one["decided"]] == [rule]


def test_precedents_followed_and_departed_from_are_told_in_words(api: Api) -> None:
    won, lost = (api.decide(facts={"deal_value": value}) for value in (12_100, 12_200))
    for past, is_won in ((won, True), (lost, False)):
        told = api.client.post(f"/outcomes/{past['id']}", json={"metrics": {"won": is_won, "margin": 0.3}})
        assert told.status_code == 201, told.text
    refused = api.decide(facts={"requested_discount_pct": 0.18})
    digest = api.client.get(f"/decisions/{refused['id']}").json()["hash"]
    answered = api.client.post(
        f"/decisions/{refused['id']}/review",
        json={"answer": "deny", "reason": "too much", "digest": digest},
        headers=api.token("reviews:write"),
    )
    assert answered.status_code == 201, answered.text
    url, settings = api.database_url, api.installation.settings
    embed_last(url, api.fetch("select id from ledger.chain")[0][0], TypedEmbedder(), api.ledger_size(), 10)
    publish(url, settings, SIMILAR_CASES.read_text(), SIMILAR_CASES.name, "tests")
    activate(url, settings, "finance-constitution@1.2.0", "tests")
    decided = api.decide()
    activate(url, settings, "finance-constitution@1.1.0", "tests")
    explanation = explain(api, decided).json()
    precedents = explanation["precedents"]
    assert precedents["text"] == (
        "3 similar past cases: 2 followed, 1 departed from; of 2 with a reward 1 succeeded. "
        "Novel: how far usual cases lie had not been measured."
    )
    assert [(one["id"], one["relation"]) for one in precedents["cases"]] == [
        (won["id"], "followed"), (lost["id"], "followed"), (refused["id"], "departed"),
    ]  # fmt: skip
    assert precedents["cases"][0]["text"].startswith("followed: approved, reward 1 of 1, at distance 0.0")
    assert precedents["cases"][2]["text"].startswith("departed from: denied by a person, no reward known, at distance 0.")
    assert {one["name"]: one["text"] for one in explanation["memory"]} == {
        "precedents.count": "3", "precedents.success_rate": "50 %", "precedents.novel": "yes",
    }  # fmt: skip
    page = explain(api, decided, **BROWSER).text
    assert "Similar past cases" in page
    assert f'href="/decisions/{refused["id"]}/explanation"' in page


def test_where_nothing_was_looked_up_no_precedent_is_told(api: Api) -> None:
    explanation = told(api)  # by a policy that names neither
    assert (explanation["precedents"], explanation["snapshot"]) == (None, None)


def test_review_and_outcome_are_told(api: Api) -> None:
    escalated = told(api, requested_discount_pct=0.18)
    assert (escalated["review"]["status"], escalated["review"]["to"], escalated["review"]["on_timeout"]) == ("open", "CFO", "deny")
    decision = api.decide()
    api.client.post(f"/outcomes/{decision['id']}", json={"metrics": {"won": True, "margin": 0.24}})
    outcome = explain(api, decision).json()["outcome"]
    assert {one["name"]: one["text"] for one in outcome["metrics"]} == {"won": "yes", "margin": "24 %"}
    assert (outcome["revision"], outcome["reward"]) == (1, 1.0)


def test_what_stopped_it_before_any_rule_is_told(api: Api) -> None:
    api.client.put("/kill-switch", json={"halted": True, "reason": "test"})
    explanation = told(api)
    api.client.put("/kill-switch", json={"halted": False, "reason": "test"})
    assert (explanation["rule"], explanation["reasons"][0]["code"]) == ("halted", "HALTED")
    assert {rule["state"] for rule in explanation["rules"]} == {"not_asked"}
    assert explanation["control"]["halted"] is True


def test_it_is_explained_by_the_policy_that_decided_also_when_that_is_gone(api: Api) -> None:
    decision = api.decide()
    before = explain(api, decision).json()
    api.client.post("/policies/finance-constitution@1.1.0/deactivate")
    assert explain(api, decision).json() == before
    api.client.post("/policies/finance-constitution@1.1.0/activate")


def test_nothing_personal_is_told_without_the_right(api: Api) -> None:
    decision = api.decide(facts={"customer_id": CUSTOMER, "note": SECRET_NOTE})
    for accept in ("application/json", "text/html"):
        plain = explain(api, decision, accept=accept, **api.token("read"))
        assert plain.status_code == 200
        assert CUSTOMER not in plain.text
        assert "call me" not in plain.text
    assert explain(api, decision).json()["personal"] == {"customer_id": CUSTOMER, "note": SECRET_NOTE}
    page = explain(api, decision, accept="text/html").text
    assert CUSTOMER in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_is_whole_readable_and_asks_no_other_host(api: Api) -> None:
    for discount in (0.08, 0.18, 0.4):
        answer = explain(api, api.decide(facts={"requested_discount_pct": discount}), **BROWSER)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "Accept" in answer.headers["vary"]
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        assert f"style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in answer.headers["content-security-policy"]
        page = Page(answer.text)
        assert page.headings[0] == 1
        assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
        assert page.open_tags == []
        assert page.language == "en"
        assert "viewport" in answer.text
        assert not re.search(r"""(src|href|action)=["'](https?:)?//""", answer.text)
        assert "style=" not in answer.text
        assert all(unlabelled.get("aria-label") or unlabelled.get("type") == "hidden" for unlabelled in page.inputs)


def test_a_browser_without_a_session_is_led_to_the_sign_in_and_back(api: Api) -> None:
    path = f"/decisions/{api.decide()['id']}/explanation"
    browser = api.browser()
    led = browser.get(path, headers=BROWSER)
    assert (led.status_code, led.headers["location"]) == (303, f"/sign-in?next={path}")
    assert browser.get(path).status_code == 401
    assert f'value="{path}"' in browser.get(led.headers["location"]).text
    back = browser.post("/sign-in", data={"token": api.installation.token, "next": path})
    assert (back.status_code, back.headers["location"]) == (303, path)
    page = browser.get(path, headers=BROWSER)
    assert (page.status_code, "signed in as" in page.text) == (200, True)
    assert browser.get(path.replace("explanation", "proof?wait=proof")).status_code == 200


def test_what_is_not_there_or_not_allowed_is_said_on_a_page_too(api: Api) -> None:
    missing = api.client.get(f"/decisions/{uuid4()}/explanation", headers=BROWSER)
    assert (missing.status_code, "Unknown decision" in missing.text) == (404, True)
    assert api.client.get(f"/decisions/{uuid4()}/explanation").json()["code"] == "DECISION_NOT_FOUND"
    event = api.client.post("/events", json={"type": "Asked"}).json()
    assert explain(api, event).status_code == 404
    foreign = explain(api, api.decide(), **BROWSER, **api.token("read", nodes=("credit",)))
    assert (foreign.status_code, "text/html" in foreign.headers["content-type"]) == (403, True)


HOSTILE = "<img src=x onerror=document.title='taken'>\"'><script>document.title='taken'</script>"
POLICY = """
policy: hostile-names
version: 1.0.0
node: hostile
owner: "<b>owner</b>"
time_zone: UTC
description: "</dd><script>document.title='taken'</script>"
actions:
  name:
    facts: {name: {type: string}}
    guards:
      - {name: blocked, when: "facts.name != ''", verdict: deny, reason: BLOCKED, text: "{facts.name} <i>is</i> blocked"}
    bands: []
    otherwise: {verdict: escalate, level: AL0, to: CFO, within: 24h, on_timeout: deny, reason: NAME_IS_EMPTY}
"""


@pytest.fixture(scope="module")
def hostile_page(api: Api) -> str:
    """The page of a decision whose facts, reasons, policy and personal facts are all somebody's attempt at markup."""
    published = api.client.post("/policies/hostile/publish", content=POLICY, headers={"content-type": "application/yaml"})
    assert published.status_code == 201, published.text
    assert api.client.post("/policies/hostile-names@1.0.0/activate").status_code == 200
    assert api.client.put("/flags/hostile/name", json={"enabled": True, "max_level": 3, "reason": "r"}).status_code == 200
    answer = explain(api, api.decide("hostile", facts={"name": HOSTILE}), **BROWSER)
    assert answer.status_code == 200
    return str(answer.text)


def test_what_others_wrote_is_text_wherever_it_stands(hostile_page: str) -> None:
    page = Page(hostile_page)
    assert page.tags.isdisjoint({"script", "img", "b", "i"})
    assert page.open_tags == []
    assert page.text.count(HOSTILE) >= 3  # as a reason, as what a rule read, as a fact
    assert "<b>owner</b>" in page.text


def test_a_browser_runs_nothing_of_what_others_wrote(hostile_page: str, tmp_path: Path) -> None:
    """In a real browser, and without the header that forbids every script."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no browser here")
    file = tmp_path / "page.html"
    file.write_text(hostile_page, encoding="utf-8")
    control = tmp_path / "control.html"
    control.write_text(f"<title>own</title>{HOSTILE}", encoding="utf-8")
    seen = [
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom", one.as_uri()],
            capture_output=True, check=True, text=True, timeout=60,
        ).stdout
        for one in (file, control)
    ]  # fmt: skip
    assert "<title>Denied · Precedent</title>" in seen[0]
    assert "<title>taken</title>" in seen[1]  # it would have run


@pytest.mark.parametrize(("accept", "is_html"), [
    ("", False), ("*/*", False), ("application/json", False), ("text/html", True), (BROWSER["accept"], True),
    ("application/json, text/html", False), ("text/html;q=0.5, application/json", False), ("TEXT/HTML, application/json;q=0.9", True),
    ("text/html;q=0", False), ("text/html;q=nonsense", False), (";;,q=,", False),
])  # fmt: skip
def test_who_prefers_a_page_gets_one(accept: str, is_html: bool) -> None:
    assert prefers_html(accept) is is_html


class Page(HTMLParser):
    """What of a page is checked: nesting, headings, language, inputs without a label."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.open_tags: list[str] = []
        self.inputs: list[dict[str, str | None]] = []
        self.language: str | None = None
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "html":
            self.language = dict(attributes).get("lang")
        if tag == "input":
            self.inputs.append(dict(attributes))
        if tag not in {"meta", "link", "input", "wbr"}:
            self.open_tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag
