"""Outcomes, repeated and corrected: the revisions and the counts of each variant stay right."""

from __future__ import annotations

import uuid
from decimal import Decimal

import psycopg
import pytest
import sample_entries as sample
from hypothesis import given, settings
from hypothesis import strategies as st

from precedent.ledger.rebuild import rebuild_projections
from precedent.ledger.verify import verify_database


def statistics(url: str, variant: str) -> tuple[Decimal, Decimal] | None:
    with psycopg.connect(url) as connection:
        row = connection.execute("select alpha, beta from precedent.policy_variants_stats where variant = %s", (variant,)).fetchone()
    return row and (row[0], row[1])


rewards = st.none() | st.integers(0, 1_000_000)
reports = st.lists(st.tuples(st.integers(0, 2), rewards, st.booleans()), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(reports=reports)
def test_counts_are_those_of_the_last_word_on_each_decision(module_database_url: str, reports: list[tuple[int, int | None, bool]]) -> None:
    """Each counted decision splits one unit: its reward to alpha, the rest to beta, whatever was said before."""
    decisions = [sample.CLOCK.new_id() for _ in range(3)]
    variant = f"{uuid.uuid4().hex}@1.0.0"
    sample.append_all(
        module_database_url, [sample.outcome(decisions[n], reward, counted=counted, policy=variant) for n, reward, counted in reports]
    )
    last = {n: reward if counted else None for n, reward, counted in reports}
    final = [Decimal(reward) / 1_000_000 for reward in last.values() if reward is not None]
    expected = (1 + sum(final), 1 + sum(1 - reward for reward in final))
    assert (statistics(module_database_url, variant) or (1, 1)) == expected


def test_the_revisions_of_one_decision_count_up_and_keep_what_was_said(database_url: str) -> None:
    decision_id = sample.CLOCK.new_id()
    sample.append_all(database_url, [sample.outcome(decision_id, 250_000), sample.outcome(decision_id, 750_000)])
    sample.append_all(database_url, [sample.outcome(decision_id, None)])
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select revision, reward from precedent.outcomes order by seq").fetchall()
    assert rows == [(1, Decimal("0.25")), (2, Decimal("0.75")), (3, None)]
    assert statistics(database_url, sample.POLICY) == (1, 1)


@pytest.mark.parametrize(("reward", "expected"), [(0, (1, 2)), (1_000_000, (2, 1)), (333_333, (Decimal("1.333333"), Decimal("1.666667")))])
def test_a_reward_and_its_rest_make_one(database_url: str, reward: int, expected: tuple[Decimal, Decimal]) -> None:
    sample.append_all(database_url, [sample.outcome(sample.CLOCK.new_id(), reward)])
    assert statistics(database_url, sample.POLICY) == expected


def test_history_and_what_is_not_counted_teach_nothing(database_url: str) -> None:
    past = "2012-01-01T00:00:00.000000Z"
    imported = sample.outcome(sample.CLOCK.new_id(), 900_000, counted=False, as_of=past)
    sample.append_all(database_url, [imported, sample.outcome(sample.CLOCK.new_id(), 900_000, counted=False)])
    assert statistics(database_url, sample.POLICY) is None
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select imported, known_at::date::text from precedent.outcomes order by seq limit 1").fetchone() == (
            True,
            "2012-01-01",
        )


def test_verification_recomputes_the_counts(module_database_url: str) -> None:
    """After everything above in this module."""
    sample.append_all(module_database_url, [sample.outcome(sample.CLOCK.new_id(), 500_000)])
    report = verify_database(module_database_url, processes=1)
    assert report.is_intact, str(report)


def test_what_a_variant_was_drawn_with_stands_beside_its_decision_and_a_change_of_it_is_found(database_url: str) -> None:
    drawn = {"A": 900_000, "B": 100_000}
    sample.append_all(database_url, [sample.decision(1), sample.decision(2, probabilities=drawn)])
    held = "select probabilities from precedent.decisions order by seq"
    with psycopg.connect(database_url) as connection:
        assert connection.execute(held).fetchall() == [(None,), (drawn,)]
        connection.execute("update precedent.decisions set probabilities = '{\"A\": 1000000}' where seq = 1")
    assert {finding.where for finding in verify_database(database_url).findings} == {"decisions.probabilities"}
    rebuild_projections(database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute(held).fetchall() == [(None,), (drawn,)]
    assert verify_database(database_url).is_intact
