"""Every declared feature, rebuilt from the entries of the ledger alone for instants of the past, is the number that a decision read.

The rebuild knows no SQL of ours: it parses the stored cores and counts. A leak that is put into the models must make it fail.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from running_dbt import PROJECT, run_dbt
from sample_entries import CLOCK, append_all

from precedent.clock import to_instant
from precedent.ledger.entry import Draft, Kind, Section, draft_entry
from precedent.memory.features import FEATURES

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 120
INSTANTS = 300


@dataclass
class Case:
    """One decision by the entries: when we knew it, and each revision of its outcome."""

    known_at: datetime
    node: str
    action: str
    verdict: str
    entities: dict[str, str]
    revisions: list[tuple[datetime, dict[str, Any], Fraction | None]] = field(default_factory=list)

    def entity(self, kind: str) -> str | None:
        return self.node if kind == "node" else self.entities.get(kind)


Measure = Callable[[Case], bool]
Value = Callable[[Case, dict[str, Any], Fraction | None], Fraction | None]

# What each declared feature means, in Python: (entity, days, which decisions) or with the value whose mean is taken over outcomes.
COUNTED: dict[str, tuple[str, int, Measure]] = {
    "customer_discounts_30d": ("customer", 30, lambda case: case.action == "approve_discount"),
    "customer_refunds_90d": ("customer", 90, lambda case: case.action == "approve_refund"),
    "node_decisions_30d": ("node", 30, lambda case: True),
    "node_approved_30d": ("node", 30, lambda case: case.verdict == "approve"),
    "node_escalated_30d": ("node", 30, lambda case: case.verdict == "escalate"),
}
MATURED = {"node_matured_30d": ("node", 30)}
AVERAGED: dict[str, tuple[str, int, Value]] = {
    "customer_win_rate_90d": (
        "customer",
        90,
        lambda case, metrics, _: Fraction(int(metrics["won"])) if case.action == "approve_discount" else None,
    ),
    "node_reward_90d": ("node", 90, lambda case, metrics, reward: reward),
}


def entry(kind: Kind, core: dict[str, Any], facts: dict[str, Any]) -> Draft:
    return draft_entry(CLOCK, kind, {Section.CORE: core, Section.FACTS: facts, Section.MEMORY: {"features": {}}})


def decision(chance: random.Random, at: datetime) -> Draft:
    verdict = chance.choice(["approve", "deny", "escalate"])
    result = {
        **{"verdict": verdict, "level": 0, "rule": "r", "reasons": [{"code": "C", "text": ""}], "effective": verdict == "approve"},
        **{"requires_human": False, "review_to": None, "within_seconds": None, "on_timeout": None, "notify": None},
    }
    core = {
        "node": chance.choice(["finance", "support"]),
        "action": chance.choice(["approve_discount", "approve_refund"]),
        "subject_id": None,
        "entities": {"customer": f"c-{chance.randrange(6)}"},
        "result": result,
        "derivation": {"policy": "p@1.0.0", "policy_digest": "ab" * 32, "variant": "A", "now": instant(at)},
        "call": {"correlation_id": "cid", "principal": "test", "event_id": None, "as_of": instant(at), "latency_us": 1},
    }
    return entry(Kind.DECISION, core, {"facts": {"deal_value": 1}})


def outcome(chance: random.Random, decided: Draft, at: datetime) -> Draft:
    core = {
        **{"decision_id": str(decided.entry_id), "experiment": "e", "policy": "p@1.0.0", "counted": False, "principal": "test"},
        **{"reward_ppm": chance.choice([None, chance.randrange(1_000_001)]), "as_of": instant(at), "observed_at": None},
        "correlation_id": "cid",
    }
    return entry(Kind.OUTCOME, core, {"metrics": {"won": chance.random() < 0.5}})


def instant(at: datetime) -> str:
    return to_instant(int(at.timestamp()) * 1_000_000)


@pytest.fixture(scope="module")
def url(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Decisions with late and corrected outcomes, some at the very edge of a day, entered in no order of time; and a run of dbt."""
    chance = random.Random(20260101)
    drafts, outcomes = [], []
    for _ in range(250):
        day = START + timedelta(days=chance.randrange(DAYS))
        made = decision(chance, at := day + timedelta(seconds=chance.choice([0, 86_399, chance.randrange(86_400)])))
        drafts.append(made)
        for _ in range(chance.choice([0, 1, 1, 2, 3])):
            at += timedelta(seconds=chance.choice([1, 86_400, chance.randrange(30 * 86_400)]))
            outcomes.append(outcome(chance, made, at))
    append_all(module_database_url, drafts)
    append_all(module_database_url, outcomes)
    run(module_database_url, tmp_path_factory.mktemp("dbt"), PROJECT, "build", "--exclude-resource-type", "unit_test")
    return module_database_url


def run(url: str, target: Path, project: Path, *arguments: str) -> None:
    days = {"from_day": START.date().isoformat(), "to_day": (START.date() + timedelta(days=DAYS + 60)).isoformat()}
    run_dbt(url, target, *arguments, "--vars", json.dumps(days), project=project)


def cases_of(url: str) -> list[Case]:
    """The ledger read again, from the stored bytes."""
    cases: dict[str, Case] = {}
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """select e.entry_id, get_byte(e.envelope, 1), s.section_ids, s.stored from ledger.entry e
               join ledger.section s on s.chain_id = e.chain_id and s.seq = e.seq order by e.seq"""
        ).fetchall()
    for entry_id, kind, ids, stored in rows:
        parts = {number: json.loads(raw) for number, raw in zip(ids, stored, strict=True)}
        core = parts[Section.CORE]
        if kind == Kind.DECISION:
            known_at = datetime.fromisoformat(core["call"]["as_of"])
            cases[str(entry_id)] = Case(known_at, core["node"], core["action"], core["result"]["verdict"], core["entities"])
        elif kind == Kind.OUTCOME:
            reward = None if core["reward_ppm"] is None else Fraction(core["reward_ppm"], 1_000_000)
            known_at = datetime.fromisoformat(core["as_of"])
            cases[core["decision_id"]].revisions.append((known_at, parts[Section.FACTS]["metrics"], reward))
    return list(cases.values())


def rebuilt(cases: list[Case], kind: str, entity_id: str, at: datetime) -> dict[str, int]:
    """The entity's features as of the end of the last day that is over at that instant, without those that are absent."""
    day = at.date() - timedelta(days=1)
    end = datetime(at.year, at.month, at.day, tzinfo=UTC)
    own = [case for case in cases if case.entity(kind) == entity_id]

    def is_within(known_at: datetime, days: int) -> bool:
        return day - timedelta(days=days) < known_at.date() <= day

    found: dict[str, int] = {}
    for name, (entity, days, counts) in COUNTED.items():
        if entity == kind:
            found[name] = sum(is_within(case.known_at, days) and counts(case) for case in own)
    for name, (entity, days) in MATURED.items():
        if entity == kind:
            found[name] = sum(bool(case.revisions) and is_within(case.revisions[0][0], days) for case in own)
    for name, (entity, days, value) in AVERAGED.items():
        if entity == kind:
            matured = [case for case in own if case.revisions and is_within(case.revisions[0][0], days)]
            latest = [(case, [one for one in case.revisions if one[0] < end][-1]) for case in matured]
            values = [held for case, (_, metrics, reward) in latest if (held := value(case, metrics, reward)) is not None]
            if values:
                found[name] = floor(10_000 * sum(values) / len(values) + Fraction(1, 2))
    return {name.removeprefix(f"{kind}_"): number for name, number in found.items()}


def differences(url: str) -> list[tuple[str, datetime, dict[str, int], dict[str, int]]]:
    """Where what a decision at a random instant reads is another number than the rebuilt one."""
    chance, cases = random.Random(7), cases_of(url)
    keys = [("customer", f"c-{number}") for number in range(6)] + [("node", "finance"), ("node", "support")]
    wrong, compared = [], 0
    with psycopg.connect(url) as connection:
        row = connection.execute("select id from ledger.chain where name = 'main'").fetchone()
        assert row is not None
        for _ in range(INSTANTS):
            kind, entity_id = chance.choice(keys)
            at = START + timedelta(days=chance.randrange(2, DAYS + 60), seconds=chance.choice([0, 86_399, chance.randrange(86_400)]))
            at_us = int(at.timestamp()) * 1_000_000
            read = connection.execute(FEATURES.encode(), ([kind], [entity_id], [at_us], row[0])).fetchone()
            expected = rebuilt(cases, kind, entity_id, at)
            if read is not None or any(expected.values()):
                compared += 1
                held = read[1] if read else {}
                if held != expected:
                    wrong.append((entity_id, at, held, expected))
    assert compared > INSTANTS * 0.9
    return wrong


def test_every_declared_feature_has_a_meaning_here() -> None:
    held = yaml.safe_load((PROJECT / "models" / "marts" / "entity_features.yml").read_text())
    declared = {
        column["name"]: column["config"]["meta"]["feature"]
        for column in held["models"][0]["columns"]
        if "feature" in column.get("config", {}).get("meta", {})
    }
    meant = {name: known[:2] for name, known in (COUNTED | MATURED | AVERAGED).items()}
    assert meant == {name: (feature["entity"], feature["days"]) for name, feature in declared.items()}


def test_each_feature_is_the_number_that_the_ledger_gives_for_any_instant_of_the_past(url: str) -> None:
    assert differences(url) == []


@pytest.mark.parametrize(
    ("sound", "leaking"),
    [
        ("and activity.known_on <= days.day\n", "\n"),
        ("and activity.counted_on <= days.day\n        and activity.known_on <= days.day\n", "and activity.counted_on <= days.day + 1\n"),
        ("(as_of_date + 1)::timestamp at time zone 'UTC' as known_at", "as_of_date::timestamp at time zone 'UTC' as known_at"),
    ],
    ids=["a correction before it was known", "a day too early", "known at dawn instead of at the end"],
)
def test_a_leak_is_found(url: str, tmp_path: Path, sound: str, leaking: str) -> None:
    project = tmp_path / "dbt"
    shutil.copytree(PROJECT, project)
    model = project / "models" / "marts" / "entity_features.sql"
    assert sound in model.read_text()
    model.write_text(model.read_text().replace(sound, leaking))
    run(url, tmp_path, project, "run", "--select", "entity_features", "--full-refresh")
    assert differences(url)
