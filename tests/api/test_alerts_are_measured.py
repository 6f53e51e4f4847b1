"""What the alert rules ask for is what `/metrics` tells, and what it tells is explained."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from in_process import Api
from spending import plant_calls

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"\bprecedent_[a-z0-9_]+")
# Told only while something is so, or once there was something to count.
NOT_ALWAYS = {
    "precedent_scrape_failed",
    "precedent_review_override_rate",
    "precedent_review_reversal_rate",
    "precedent_outcome_unknown_ratio",
}


def told(api: Api) -> str:
    plant_calls(api.database_url)
    api.decide(facts={"requested_discount_pct": 0.18})
    api.client.post("/decisions/finance", json={})
    return api.client.get("/metrics", headers={"accept": "text/plain"}).text


def test_what_the_alerts_ask_for_is_measured_under_that_name(api: Api) -> None:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/precedent.rules.yaml").read_text())["groups"]
    asked = {name for group in groups for rule in group["rules"] for name in NAME.findall(rule["expr"])}
    assert asked - set(NAME.findall(told(api))) - NOT_ALWAYS == set()


def test_every_measure_is_explained(api: Api) -> None:
    names = set(re.findall(r"^# TYPE (precedent_\w+) (?:gauge|histogram|counter)$", told(api), re.MULTILINE))
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    # The client library adds to each counter and histogram the moment of its first count.
    assert names
    assert {name for name in names if not name.endswith("_created") and f"`{name}" not in page} == set()
