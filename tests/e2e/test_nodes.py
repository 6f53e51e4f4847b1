"""Each shipped node at work through the API: asked, decided, told what came of it, rewarded; on real shapes where they are at hand."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import orjson
import psycopg
import pytest
from running_api import ApiProcess, install, serve

from precedent.ledger.verify import verify_database

# Columns of the attrition data that people are protected by: none is a fact of any policy.
PROTECTED = ("Age", "Gender", "MaritalStatus")


@pytest.fixture(scope="module")
def server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    folder = tmp_path_factory.mktemp("nodes")
    with serve(install(module_database_url, folder / "home"), folder) as (one,):
        yield one


@pytest.fixture(scope="module")
def client(server: ApiProcess) -> Iterator[httpx2.Client]:
    with server.client() as one:
        yield one


def decide(client: httpx2.Client, node: str, action: str, facts: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"/decisions/{node}", json={"action": action, "facts": facts})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def reward_of(client: httpx2.Client, decision: dict[str, Any], metrics: dict[str, Any]) -> float | None:
    answer = client.post(f"/outcomes/{decision['id']}", json={"metrics": metrics})
    assert answer.status_code == 201, answer.text
    reward: float | None = answer.json()["reward"]
    return reward


def test_a_stripe_charge_is_refunded_and_a_disputed_one_is_not(client: httpx2.Client, shared: Path) -> None:
    charge = orjson.loads((shared / "data/stripe/fixtures3.json").read_bytes())["resources"]["charge"]
    facts = {
        "refund_amount": f"{Decimal(charge['amount']) / 100:f}",
        "paid_amount": f"{Decimal(charge['amount']) / 100:f}",
        "refunded_before": f"{Decimal(charge['amount_refunded']) / 100:f}",
        "days_since_payment": 3,
        "cause": "not_delivered",
        "is_disputed": charge["disputed"],
        "customer_id": "cus_1",
    }
    decision = decide(client, "finance", "approve_refund", facts)
    assert (decision["verdict"], decision["autonomy_level"], decision["rule"]) == ("approve", 1, "small")
    assert reward_of(client, decision, {"disputed_after": False, "bought_again": True}) == 1
    disputed = decide(client, "finance", "approve_refund", facts | {"is_disputed": True})
    assert (disputed["verdict"], disputed["requires_human"], disputed["review"]["to"]) == ("escalate", True, "DISPUTES")
    twice = decide(client, "finance", "approve_refund", facts | {"refunded_before": facts["paid_amount"]})
    assert (twice["verdict"], twice["rule"]) == ("deny", "more_than_paid")


def test_an_invoice_is_paid_unless_its_account_is_new(client: httpx2.Client) -> None:
    facts = {
        "amount_due": "9800.00",
        "amount_ordered": "9800.00",
        "is_received": True,
        "is_duplicate": False,
        "is_account_new": False,
        "supplier_age_days": 500,
        "supplier_id": "S-17",
    }
    decision = decide(client, "finance", "pay_invoice", facts)
    assert (decision["verdict"], decision["autonomy_level"], decision["effective"]) == ("approve", 2, True)
    assert reward_of(client, decision, {"is_correct": False, "claimed_back": "9800.00"}) == 0
    moved = decide(client, "finance", "pay_invoice", facts | {"is_account_new": True})
    assert (moved["verdict"], moved["review"]["to"]) == ("escalate", "TREASURY")


def test_flat_facts_of_the_finance_node_ask_for_a_discount(client: httpx2.Client) -> None:
    deal = {"deal_value": 12000, "base_margin_pct": 0.31, "requested_discount_pct": 0.08, "customer_tier": "A"}
    assert client.post("/decisions/finance", json=deal).json()["action"] == "approve_discount"


def test_no_candidate_is_advanced_or_turned_down_without_a_person(client: httpx2.Client) -> None:
    facts = {"stage": "interview", "required_skills": 4, "required_experience": 2, "assessment": "0.8"}
    for matched, years in ((0, 0), (1, 3), (4, 0), (4, 3)):
        decision = decide(
            client, "hr", "advance_candidate", facts | {"matched_skills": matched, "experience": years, "candidate_id": "P-7"}
        )
        assert (decision["autonomy_level"], decision["effective"], decision["requires_human"]) == (0, False, True)
        assert decision["verdict"] == ("approve" if (matched, years) == (4, 3) else "escalate")
    assert reward_of(client, decision, {"result": "rejected"}) == 0
    assert reward_of(client, decision, {"result": "hired", "days_to_hire": 21}) == 1


def test_retention_offers_on_the_columns_of_the_attrition_data(client: httpx2.Client, server: ApiProcess, shared: Path) -> None:
    """The employees are fictional; who left is the data's word, whatever we would have offered."""
    with (shared / "data/hr_attrition/emp_attrition.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))[:80]
    questions = [{"action": "offer_retention", "facts": offer(row)} for row in rows]
    answers = client.post("/decisions/hr/batch", json={"decisions": questions}).json()["answers"]
    levels = [one["autonomy_level"] for one in answers]
    assert {one["verdict"] for one in answers} == {"approve", "escalate"}
    assert set(levels) == {0, 1, 2}
    for row, one in zip(rows, answers, strict=True):
        metrics = {"result": "left" if row["Attrition"] == "Yes" else "stayed"}
        rewarded = None if one["verdict"] == "escalate" else row["Attrition"] != "Yes"  # no band decided: nothing to learn from
        assert reward_of(client, one, metrics) == rewarded
    with psycopg.connect(server.database_url) as connection:
        inputs = connection.execute("select distinct jsonb_object_keys(inputs) from precedent.decisions where node = 'hr'").fetchall()
    assert not {name for (name,) in inputs} & {column.lower() for column in PROTECTED}


def offer(row: dict[str, str]) -> dict[str, Any]:
    """4 % to everybody, but 2 % to who has had a raise of a fifth already."""
    return {
        "offered_raise": "0.02" if int(row["PercentSalaryHike"]) >= 20 else "0.04",
        "monthly_income": row["MonthlyIncome"],
        "job_satisfaction": int(row["JobSatisfaction"]),
        "environment_satisfaction": int(row["EnvironmentSatisfaction"]),
        "work_life_balance": int(row["WorkLifeBalance"]),
        "performance_rating": int(row["PerformanceRating"]),
        "has_overtime": row["OverTime"] == "Yes",
        "years_at_company": int(row["YearsAtCompany"]),
        "years_since_last_promotion": int(row["YearsSinceLastPromotion"]),
        "employee_id": row["EmployeeNumber"],
    }


def test_an_issue_on_github_is_labelled_and_a_member_s_own_is_not_closed(client: httpx2.Client, shared: Path) -> None:
    delivery = orjson.loads((shared / "data/github/issues.opened.payload.json").read_bytes())
    issue = delivery["issue"]
    facts = {
        "proposal": "documentation",
        "confidence": "0.93",
        "closes": False,
        "author_association": issue["author_association"],
        "comments": issue["comments"],
        "is_locked": issue["locked"],
        "has_label": False,
        "issue_id": str(issue["id"]),
        "repository": delivery["repository"]["full_name"],
        "title": issue["title"],
    }
    decision = client.post("/decisions/support", json=facts).json()
    assert (decision["verdict"], decision["autonomy_level"], decision["rule"]) == ("approve", 1, "label_surely")
    assert reward_of(client, decision, {"was_relabelled": True, "was_reopened": False}) == 0
    labelled = decide(client, "support", "triage_issue", facts | {"has_label": bool(issue["labels"])})
    assert (labelled["verdict"], labelled["rule"]) == ("deny", "labelled")
    closing = decide(client, "support", "triage_issue", facts | {"proposal": "duplicate", "confidence": 1, "closes": True})
    assert (closing["verdict"], closing["rule"]) == ("escalate", "own_issue")


def test_what_all_nodes_recorded_is_intact(server: ApiProcess) -> None:
    report = verify_database(server.database_url, processes=1)
    assert report.is_intact, str(report)
