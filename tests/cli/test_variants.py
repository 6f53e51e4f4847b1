"""`precedent variants` over counters that the real append wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sample_entries import EXPERIMENT, append_all, decision, outcome
from typer.testing import CliRunner

from precedent.cli.variants import LABEL, app
from precedent.learning.scorecard import Arm, posteriors, wilson_interval

BASELINE, CANDIDATE = "finance-constitution@1.0.0", "finance-constitution@1.1.B"


@pytest.fixture(autouse=True)
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))


def plant(database_url: str, variant: str, rewards_ppm: list[int | None]) -> None:
    drafts = [decision(number) for number in range(len(rewards_ppm))]
    append_all(database_url, drafts)
    outcomes = [outcome(draft.entry_id, reward, policy=variant) for draft, reward in zip(drafts, rewards_ppm, strict=True)]
    append_all(database_url, outcomes)


def rows_of(*arguments: str) -> list[dict[str, Any]]:
    answer = CliRunner().invoke(app, ["--json", *arguments], catch_exceptions=False)
    held = json.loads(answer.output)
    assert held["label"] == LABEL
    rows: list[dict[str, Any]] = held["variants"]
    return rows


def test_counters_become_rate_interval_mean_and_chance(database_url: str) -> None:
    plant(database_url, BASELINE, [1_000_000] * 6 + [0] * 3 + [500_000] + [None])
    plant(database_url, CANDIDATE, [1_000_000] * 2 + [0] * 2)
    baseline, candidate = rows_of()
    assert (baseline["experiment"], baseline["variant"], candidate["variant"]) == (EXPERIMENT, BASELINE, CANDIDATE)
    assert (baseline["outcomes_count"], baseline["reward_sum"], baseline["reward_rate"]) == (10, 6.5, 0.65)
    assert baseline["interval"] == [wilson_interval(6.5, 10).low, wilson_interval(6.5, 10).high]
    beliefs = posteriors([Arm(7.5, 4.5), Arm(3, 3)])
    assert [row["posterior_mean"] for row in (baseline, candidate)] == [7.5 / 12, 0.5]
    assert [row["is_best_probability"] for row in (baseline, candidate)] == [held.is_best_probability for held in beliefs]


def test_a_corrected_outcome_counts_once(database_url: str) -> None:
    draft = decision(1)
    append_all(database_url, [draft])
    append_all(database_url, [outcome(draft.entry_id, 0)])
    append_all(database_url, [outcome(draft.entry_id, 1_000_000)])
    [row] = rows_of()
    assert (row["outcomes_count"], row["reward_sum"]) == (1, 1)


def test_only_the_experiment_asked_for_is_shown(database_url: str) -> None:
    plant(database_url, BASELINE, [1_000_000])
    assert len(rows_of("--experiment", EXPERIMENT)) == 1
    assert rows_of("--experiment", "credit/approve_loan") == []


def test_the_words_say_that_they_are_descriptive(database_url: str) -> None:
    assert CliRunner().invoke(app, [], catch_exceptions=False).output == "no counted outcome yet\n"
    plant(database_url, BASELINE, [1_000_000, 0])
    first, second = CliRunner().invoke(app, [], catch_exceptions=False).output.splitlines()
    assert first == LABEL
    assert second == f"{EXPERIMENT}  {BASELINE}  outcomes 2  rate 0.500 [0.095, 0.905]  mean 0.500  P(best) 1.000"
