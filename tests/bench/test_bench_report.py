"""The report says what was reached and what was not, and nothing of whose machine it was."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.appends import ROW_LOCK, AppendRow
from tests.bench.endpoint import NOOP, PLAIN, WITH_CUSTOMER, WITH_KEY, EndpointRow
from tests.bench.exports import ExportFigures
from tests.bench.machine import describe_machine, is_quiet
from tests.bench.policies import decision_us, load_ms
from tests.bench.records import DECISIONS, EVENTS
from tests.bench.replay import Replayed
from tests.bench.report import BUSY, Findings, Goal, goals_of, render
from tests.bench.singles import Verified, evaluation_us
from tests.bench.tree import TreeFigures

FINDINGS = Findings(
    machine={"Processor": "Some, 2 cores"},
    is_quiet=True,
    rounds="one round",
    endpoints=[
        EndpointRow(name, connections, 1000.0 * ratio, 2.0, 3.0, 4.0, ratio, 300.0, 100.0)
        for name, ratio in ((NOOP, 1.0), (PLAIN, 0.5), (WITH_CUSTOMER, 0.47), (WITH_KEY, 0.45))
        for connections in (1, 16, 64)
    ],
    appends=[
        AppendRow(what, at_once, rate, rate / 1000, 64.0, 1.0, 2.0, 30.0, 40.0, 25.0)
        for what, at_once, rate in ((DECISIONS, 1, 14_000.0), (DECISIONS, 2, 21_000.0), (EVENTS, 1, 11_000.0), (ROW_LOCK, 1, 1000.0))
    ],
    verified=Verified(10_000, True, 50_000.0, 40_000.0),
    exported=ExportFigures(10_000, 2.0, 30_000.0, 100.0, 80_000.0, 90.0, 50_000.0, True),
    api_start_mb=90.0,
    api_mb=120.0,
    approve_us=15.0,
    escalate_us=20.0,
    twenty_rules_us=70.0,
    fifty_rules_ms=51.0,
    import_per_second=200.0,
    analysis_seconds=2.5,
    replayed=Replayed(20_000, True, 9_000.0, 16_000.0, 7_000.0, 14_000.0),
    tree=TreeFigures(1_000_000, 510_000.0, 600_000.0, 20.0, 1.5, 5.5, 160.0, 270.0),
)


def rows_of(text: str, start: str) -> list[list[str]]:
    """The cells of each line of a table that begins with these words."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_number_wanted_stands_beside_what_was_found() -> None:
    text = render(FINDINGS)
    assert rows_of(text, "decision endpoint of the no-op") == [["decision endpoint of the no-op, 64 connections", "≥ 0.45", "0.5", "yes"]]
    assert rows_of(text, "decision endpoint, p50")[0][1:] == ["≤ 3 ms", "2 ms", "yes"]
    # The better number of processes counts.
    assert rows_of(text, "appends of decisions ")[0][1:] == ["≥ 20,000/s", "21,000/s", "yes"]
    assert rows_of(text, "appends of events ")[0][1:] == ["≥ 20,000/s", "11,000/s", "**no**"]
    assert rows_of(text, "appends of events, of")[0][1:] == ["≥ 12 ×", "11 ×", "**no**"]
    assert rows_of(text, "import of 13,087")[0][1:] == ["≤ 90 s", "65.4 s", "yes"]
    assert rows_of(text, "analysis of a policy of 60 rules")[0][1:] == ["≤ 10 s", "2.5 s", "yes"]
    assert rows_of(text, "20 rules over 30 facts")[0][1:] == ["≤ 80 µs", "70 µs", "yes"]
    assert rows_of(text, "load and type-check")[0][1:] == ["≤ 50 ms", "51 ms", "**no**"]
    assert rows_of(text, "decisions derived again, a second")[0][1:] == ["≥ 15,000/s", "16,000/s", "yes"]
    assert rows_of(text, "decisions by another policy, a second")[0][1:] == ["≥ 15,000/s", "14,000/s", "**no**"]
    assert rows_of(text, "the decisions that were derived again")[0][1:] == ["20,000, each byte for byte"]
    assert rows_of(text, "entries into the tree, a second")[0][1:] == ["≥ 500,000/s", "510,000/s", "yes"]
    assert rows_of(text, "proof among 1,000,000 entries")[0][1:] == ["≤ 5 ms", "5.5 ms", "**no**"]
    assert rows_of(text, "until a checkpoint covers an entry")[0][1:] == ["≤ 1,000 ms", "270 ms", "yes"]
    assert "**5 of 20 numbers wanted were not reached.**" in text


def test_a_run_that_reached_all_says_so() -> None:
    faster = [replace(row, per_second=20_000.0, of_row_lock=20.0) for row in FINDINGS.appends]
    replayed = replace(FINDINGS.replayed, compared_per_cpu_second=20_000.0)
    tree = replace(FINDINGS.tree, proof_p99_ms=5.0)
    assert "Every number wanted was reached." in render(
        replace(FINDINGS, appends=faster, fifty_rules_ms=50.0, replayed=replayed, tree=tree)
    )


def test_each_side_of_a_goal_is_judged_at_its_edge() -> None:
    assert Goal("more", 0.45, 0.45).is_met
    assert not Goal("more", 0.4499, 0.45).is_met
    assert Goal("less", 3.0, 3.0, at_least=False).is_met
    assert not Goal("less", 3.001, 3.0, at_least=False).is_met
    assert not Goal("nothing", float("nan"), 3.0).is_met
    assert not Goal("nothing", float("nan"), 3.0, at_least=False).is_met


def test_a_busy_machine_is_named_at_the_top() -> None:
    assert BUSY not in render(FINDINGS)
    assert BUSY in render(replace(FINDINGS, is_quiet=False)).split("## ")[0]
    assert is_quiet((0.0, 9.0, 9.0))
    assert not is_quiet((500.0, 0.0, 0.0))


def test_a_chain_that_does_not_verify_is_said_plainly() -> None:
    assert "**NOT INTACT**" in render(replace(FINDINGS, verified=replace(FINDINGS.verified, is_intact=False)))
    assert "**NOT INTACT**" in render(replace(FINDINGS, exported=replace(FINDINGS.exported, is_intact=False)))


def test_a_decision_that_is_not_derived_to_its_bytes_is_said_plainly() -> None:
    assert "**NOT ALL EQUAL**" in render(replace(FINDINGS, replayed=replace(FINDINGS.replayed, is_equal=False)))


def test_without_the_real_log_its_rows_are_left_out() -> None:
    without = replace(FINDINGS, import_per_second=None)
    assert len(goals_of(without)) == len(goals_of(FINDINGS)) - 1
    assert rows_of(render(without), "import of") == []


def test_the_columns_of_a_table_stand_under_each_other() -> None:
    text = render(FINDINGS)
    for part in text.split("\n\n"):
        if part.startswith("|"):
            assert len({len(line) for line in part.splitlines()}) == 1


def test_the_machine_is_told_without_names_and_paths(database_url: str, tmp_path: Path) -> None:
    machine = describe_machine(database_url, tmp_path, (0.5, 0.4, 0.3), "wrk")
    told = " ".join(machine.values())
    assert (platform.node() or "(unnamed)") not in told
    assert str(tmp_path) not in told
    assert str(Path.home()) not in told
    assert machine["Load average at start"] == "0.50 0.40 0.30"
    assert "cores" in machine["Processor"]
    assert machine["PostgreSQL"].endswith("synchronous_commit on")


@pytest.mark.parametrize("verdict", ["approve", "escalate"])
def test_the_evaluation_that_is_timed_gives_the_verdict_it_names(verdict: str) -> None:
    assert evaluation_us(verdict, rounds=1, loops=1) > 0


@pytest.mark.parametrize("verdict", ["approve", "escalate"])
def test_the_decision_that_is_timed_asks_every_rule_and_gives_the_verdict_it_names(verdict: str) -> None:
    assert decision_us(verdict, rounds=1, loops=1) > 0
    assert load_ms(rounds=1) > 0
