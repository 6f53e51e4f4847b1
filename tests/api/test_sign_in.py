"""Sign-in and sign-out of the pages: what a session opens, and what another site's page can't do with it."""

from __future__ import annotations

import re

import httpx2
import pytest
from in_process import Api
from starlette.testclient import TestClient

from api.routes.sessions import safe_path
from precedent.guard.access import CACHE_SECONDS, create_token, hash_of, revoke_token
from precedent.guard.session import COOKIE, ID_BYTES, Session

BROWSER = {"accept": "text/html"}


@pytest.fixture
def browser(api: Api) -> TestClient:
    return api.browser()


def sign_in(browser: TestClient, token: str, **headers: str) -> httpx2.Response:
    return browser.post("/sign-in", data={"token": token, "next": "/"}, headers=headers)


def test_a_session_is_a_cookie_that_scripts_and_other_sites_never_see(api: Api, browser: TestClient) -> None:
    answer = sign_in(browser, api.installation.token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=28800"))
    assert api.installation.token not in cookie
    assert "Secure" not in cookie  # no TLS in development; with it, or in production, it says so


def test_an_unknown_token_opens_nothing(api: Api, browser: TestClient) -> None:
    for token in ("", "prc_unknown", "x" * 5000):
        answer = sign_in(browser, token)
        assert (answer.status_code, COOKIE in answer.headers.get("set-cookie", "")) == (401, False)
        assert 'role="alert"' in answer.text
    assert sign_in(browser, "x" * 9000).status_code == 413
    assert browser.post("/sign-in", json={"token": api.installation.token}).status_code == 415


def test_a_session_reads_and_never_changes(api: Api, browser: TestClient) -> None:
    sign_in(browser, api.installation.token)
    assert browser.get("/decisions").status_code == 200
    before = api.ledger_size()
    for answer in (browser.post("/events", json={"type": "Asked"}), browser.put("/kill-switch", json={"halted": True, "reason": "r"})):
        assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_UNKNOWN")
    assert api.ledger_size() == before


def test_a_session_ends_with_its_token(api: Api, browser: TestClient) -> None:
    sign_in(browser, create_token(api.database_url, "visitor", ["read"]))
    assert browser.get("/decisions").status_code == 200
    revoke_token(api.database_url, "visitor")
    api.clock.ahead_seconds += CACHE_SECONDS + 0.1
    assert browser.get("/decisions").status_code == 401


def test_a_session_has_the_scopes_of_its_token(api: Api, browser: TestClient) -> None:
    sign_in(browser, create_token(api.database_url, "writer", ["events:write"]))
    assert browser.get("/decisions").status_code == 403


def test_a_changed_cookie_opens_nothing(api: Api, browser: TestClient) -> None:
    sign_in(browser, api.installation.token)
    sealed = browser.cookies[COOKIE]
    browser.cookies.clear()
    for forged in (sealed[:-1], sealed.upper(), "", "x.y", sealed + "a"):
        assert browser.get("/decisions", headers={"cookie": f"{COOKIE}={forged}"}).status_code == 401
    assert browser.get("/decisions", headers={"cookie": f"{COOKIE}={sealed}"}).status_code == 200


def sealed(api: Api, ends_in_seconds: int) -> dict[str, str]:
    """The header of a session that ends so soon."""
    services = api.client.app.state.services  # type: ignore[attr-defined]
    ends_at_seconds = services.clock.now_us() // 1_000_000 + ends_in_seconds
    session = Session(hash_of(api.installation.token), bytes(ID_BYTES), ends_at_seconds)
    return {"cookie": f"{COOKIE}={session.seal(services.keyring.session_key)}"}


def test_a_session_ends_by_itself_and_leads_to_the_sign_in(api: Api, browser: TestClient) -> None:
    path = f"/decisions/{api.decide()['id']}/explanation"
    assert browser.get(path, headers=BROWSER | sealed(api, 60)).status_code == 200
    over = browser.get(path, headers=BROWSER | sealed(api, -1))
    assert (over.status_code, over.headers["location"]) == (303, f"/sign-in?next={path}")
    assert browser.get("/decisions", headers=sealed(api, -1)).status_code == 401


def test_a_session_sees_the_nodes_of_its_token_alone(api: Api, browser: TestClient) -> None:
    path = f"/decisions/{api.decide()['id']}/explanation"
    sign_in(browser, create_token(api.database_url, "lender", ["read"], ["credit"]))
    for accept in ("text/html", "application/json"):
        answer = browser.get(path, headers={"accept": accept})
        assert (answer.status_code, "31 %" in answer.text) == (403, False)


def test_a_token_goes_before_a_session(api: Api, browser: TestClient) -> None:
    path = f"/decisions/{api.decide()['id']}/explanation"
    sign_in(browser, api.installation.token)
    assert browser.get(path, headers=BROWSER | api.token("events:write")).status_code == 403
    own = browser.get(path, headers=BROWSER | api.token("read"))
    assert (own.status_code, "signed in as" in own.text) == (200, False)
    assert browser.get(path, headers=BROWSER | {"authorization": "Bearer prc_unknown"}).status_code == 303


def test_over_tls_the_cookie_never_travels_in_clear(api: Api, browser: TestClient) -> None:
    browser.base_url = "https://testserver"  # type: ignore[assignment]
    assert "; Secure" in sign_in(browser, api.installation.token).headers["set-cookie"]


def test_a_wrong_token_is_not_told_back(browser: TestClient) -> None:
    answer = browser.post("/sign-in", data={"token": "prc_<script>wrong", "next": '"><script>x'})
    assert answer.status_code == 401
    assert "wrong" not in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize("headers", [
    {"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
])  # fmt: skip
def test_another_sites_page_can_not_sign_somebody_in(api: Api, browser: TestClient, headers: dict[str, str]) -> None:
    answer = sign_in(browser, api.installation.token, **headers)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert sign_in(browser, api.installation.token, origin="http://testserver").status_code == 303


def test_signing_out_needs_the_proof_of_our_own_page(api: Api, browser: TestClient) -> None:
    decision = api.decide()
    sign_in(browser, api.installation.token)
    page = browser.get(f"/decisions/{decision['id']}/explanation", headers=BROWSER).text
    (proof,) = re.findall(r'name="form_proof" value="([0-9a-f]{64})"', page)
    for sent in ("", "0" * 64):
        assert browser.post("/sign-out", data={"form_proof": sent}).status_code == 403
    assert browser.post("/sign-out", data={"form_proof": proof}, headers={"origin": "https://evil.example"}).status_code == 403
    assert browser.get("/decisions").status_code == 200
    out = browser.post("/sign-out", data={"form_proof": proof})
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert browser.get("/decisions").status_code == 401
    assert browser.post("/sign-out", data={}).status_code == 303


@pytest.mark.parametrize(("target", "path"), [
    ("/decisions/1/explanation", "/decisions/1/explanation"), ("/a?b=c", "/a?b=c"), ("https://evil.example", "/"),
    ("//evil.example", "/"), ("/\\evil.example", "/"), ("javascript:alert(1)", "/"), ("", "/"), ("/a\r\nset-cookie: x", "/"),
    ("/\u00fc", "/"),
])  # fmt: skip
def test_a_link_leads_to_our_own_pages_alone(target: str, path: str) -> None:
    assert safe_path(target) == path
