"""The queue as a page: who sees it, and that nothing but its own forms, in the session they were made for, answers a review."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from in_process import Api
from starlette.testclient import TestClient

from precedent.guard.access import create_token

BROWSER = {"accept": "text/html"}


@pytest.fixture(scope="module")
def asker(api: Api) -> dict[str, str]:
    return api.token("decisions:write")


@pytest.fixture(scope="module")
def reviewer(api: Api) -> str:
    return create_token(api.database_url, "anna", ["reviews:write", "read"])


@pytest.fixture
def browser(api: Api, reviewer: str) -> TestClient:
    """Somebody who signed in."""
    browser = api.browser()
    assert browser.post("/sign-in", data={"token": reviewer, "next": "/reviews"}).status_code == 303
    return browser


def escalated(api: Api, asker: dict[str, str], **facts: Any) -> dict[str, Any]:
    return api.decide(headers=asker, facts={"requested_discount_pct": 0.18} | facts)


def form_of(page: str, decision: dict[str, Any]) -> dict[str, str]:
    """The hidden fields of the decision's form."""
    form = page.partition(f'action="/reviews/{decision["id"]}"')
    start = form[0].rpartition("<form")[2] + form[2].partition("</form>")[0]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', start))


def send(browser: TestClient, decision: dict[str, Any], fields: dict[str, str], **headers: str) -> httpx2.Response:
    return browser.post(f"/reviews/{decision['id']}", data=fields, headers=headers)


def status_of(api: Api, decision: dict[str, Any]) -> tuple[Any, ...]:
    return api.fetch("select status, reviewer, reason from precedent.reviews where decision_id = %s", decision["id"])[0]


def test_without_a_session_a_browser_is_led_to_the_sign_in(api: Api) -> None:
    answer = api.browser().get("/reviews?kind=audit", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/reviews%3Fkind%3Daudit")
    assert api.browser().get("/reviews").status_code == 401
    stranger = {"id": "0199a1b2-0000-7000-8000-000000000001"}
    assert send(api.browser(), stranger, {"answer": "approve"}).headers["location"] == "/sign-in?next=/reviews"


def test_the_page_shows_the_queue_and_a_form_answers_a_review(api: Api, asker: dict[str, str], browser: TestClient) -> None:
    decision = escalated(api, asker)
    page = browser.get("/reviews", headers=BROWSER)
    assert page.status_code == 200
    assert f"/decisions/{decision['id']}/explanation" in page.text
    fields = form_of(page.text, decision)
    assert fields["digest"] == decision["hash"]
    buttons = re.findall(r"<button [^>]*>", page.text.partition(f'action="/reviews/{decision["id"]}"')[2].partition("</form>")[0])
    assert "disabled" in buttons[0], "Enter presses the first: it must not answer"
    done = send(browser, decision, fields | {"answer": "deny", "reason": "too much"})
    assert (done.status_code, done.headers["location"]) == (303, "/reviews")
    assert status_of(api, decision) == ("denied", "anna", "too much")
    assert decision["id"] not in browser.get("/reviews", headers=BROWSER).text
    assert "denied by anna" in browser.get("/reviews?status=denied", headers=BROWSER).text
    told = browser.get(f"/decisions/{decision['id']}/explanation", headers=BROWSER).text
    assert "Denied by a person" in told
    assert "too much" in told


def test_a_form_that_our_page_did_not_make_for_this_session_answers_nothing(
    api: Api, asker: dict[str, str], browser: TestClient, reviewer: str
) -> None:
    decision = escalated(api, asker)
    fields = form_of(browser.get("/reviews", headers=BROWSER).text, decision) | {"answer": "approve", "reason": "r"}
    other = api.browser()
    other.post("/sign-in", data={"token": reviewer, "next": "/"})
    attempts = [
        send(browser, decision, {name: value for name, value in fields.items() if name != "form_proof"}),
        send(browser, decision, fields | {"form_proof": "00"}),
        send(other, decision, fields),
        send(browser, decision, fields, origin="https://elsewhere.example"),
        send(browser, decision, fields, **{"sec-fetch-site": "cross-site"}),
    ]
    assert [answer.status_code for answer in attempts] == [403] * 5
    assert browser.post(f"/reviews/{decision['id']}", json=fields).status_code == 415
    body = {"answer": "approve", "reason": "r", "digest": decision["hash"]}
    assert browser.post(f"/decisions/{decision['id']}/review", json=body).status_code == 401, "a session is no token"
    assert status_of(api, decision)[0] == "open"


def test_a_refusal_is_told_on_a_page_and_records_nothing(api: Api, asker: dict[str, str], browser: TestClient) -> None:
    decision = escalated(api, asker)
    fields = form_of(browser.get("/reviews", headers=BROWSER).text, decision) | {"answer": "approve", "reason": "  "}
    blank = send(browser, decision, fields)
    assert (blank.status_code, "it is not blank" in blank.text, 'role="alert"' in blank.text) == (422, True, True)
    stale = send(browser, decision, fields | {"reason": "r", "digest": "00"})
    assert (stale.status_code, "read it again" in stale.text) == (409, True)
    reader = api.browser()
    reader.post("/sign-in", data={"token": create_token(api.database_url, "reader", ["read"]), "next": "/"})
    assert reader.get("/reviews", headers=BROWSER).status_code == 403
    assert status_of(api, decision)[0] == "open"


def test_what_a_caller_wrote_is_text_on_the_page(api: Api, asker: dict[str, str], browser: TestClient) -> None:
    decision = escalated(api, asker)
    fields = form_of(browser.get("/reviews", headers=BROWSER).text, decision)
    assert send(browser, decision, fields | {"answer": "approve", "reason": "<script>x</script>"}).status_code == 303
    page = browser.get("/reviews?status=approved", headers=BROWSER).text
    assert "&lt;script&gt;x" in page
    assert "<script" not in page
