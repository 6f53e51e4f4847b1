from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import log

import numpy as np
import orjson
import pytest

from precedent.cli.deal_desk import Customer, Deal, deals, is_rush, win_probability
from precedent.cli.loading.operation import Kind
from precedent.cli.simulate import operations_of
from precedent.clock import EPOCH

UNTIL = date(2026, 7, 1)


@pytest.fixture(scope="module")
def year() -> list[Deal]:
    return list(deals(7, UNTIL, 365, 40))


def day_of(deal: Deal) -> date:
    return (EPOCH + timedelta(microseconds=deal.asked_us)).date()


def test_equal_seeds_give_equal_deals_and_others_give_others() -> None:
    assert list(deals(7, UNTIL, 10, 40)) == list(deals(7, UNTIL, 10, 40))
    assert list(deals(7, UNTIL, 10, 40)) != list(deals(8, UNTIL, 10, 40))


def test_deals_come_in_the_order_of_time_and_end_before_the_last_day(year: list[Deal]) -> None:
    assert [deal.number for deal in year] == list(range(1, len(year) + 1))
    assert all(one.asked_us <= other.asked_us for one, other in pairwise(year))
    assert day_of(year[0]) >= date(2025, 7, 1)
    assert day_of(year[-1]) == date(2026, 6, 30)


def test_the_end_of_a_quarter_is_a_rush(year: list[Deal]) -> None:
    assert [is_rush(date(2026, 3, 31) - timedelta(days=days)) for days in (0, 9, 10, -1)] == [True, True, False, False]
    counts = Counter(day_of(deal) for deal in year)
    rushed = [counts[day] for day in counts if is_rush(day)]
    quiet = [counts[day] for day in counts if not is_rush(day)]
    # 1.8 times as many are asked for; 40 days at some 75 a day make the ratio good to 3 %, weekdays fall as they may.
    assert 1.55 < np.mean(rushed) / np.mean(quiet) < 2.05


def test_weekends_are_quiet(year: list[Deal]) -> None:
    counts = Counter(day_of(deal).weekday() for deal in year)
    # Factors 1.3 and 0.4 of 52 days each: the ratio of about 2,300 to 700 is good to 5 %.
    assert 2.75 < counts[1] / counts[6] < 3.75


def test_a_discount_adds_to_the_log_odds_what_the_docstring_says() -> None:
    customer = Customer("C-1", "B", 0.0, 1.0)

    def log_odds(discount: float) -> float:
        chance = win_probability(customer, date(2026, 5, 4), 800_000, 0.30, discount)
        return log(chance / (1 - chance))

    assert log_odds(0.08) - log_odds(0.0) == pytest.approx(0.72)


def test_wins_follow_the_known_probability(year: list[Deal]) -> None:
    for is_approved, field in ((True, "win_if_approved"), (False, "win_if_not")):
        chances = np.array([getattr(deal, field) for deal in year])
        won = np.array([deal.is_won(is_approved=is_approved) for deal in year])
        # Four standard errors of a sum of independent draws with known probabilities.
        assert abs(won.sum() - chances.sum()) < 4 * np.sqrt((chances * (1 - chances)).sum())


def test_some_outcomes_never_come(year: list[Deal]) -> None:
    share = sum(deal.closed_us is None for deal in year) / len(year)
    assert abs(share - 0.06) < 4 * (0.06 * 0.94 / len(year)) ** 0.5


def test_a_discount_costs_its_share_of_the_price() -> None:
    deal = Deal(1, Customer("C-1", "A", 0.0, 1.0), 0, 1_200_000, 3100, 800, 0.5, 0.4, 0.45, 0, 1)
    assert (deal.final_margin_bp(is_approved=True), deal.final_margin_bp(is_approved=False)) == (2500, 3100)
    assert (deal.is_won(is_approved=True), deal.is_won(is_approved=False)) == (True, False)


def test_a_deal_becomes_a_request_and_two_possible_ends() -> None:
    asked_us = int(datetime(2026, 6, 1, 9, tzinfo=UTC).timestamp() * 1e6)
    deal = Deal(1, Customer("C-0001", "A", 0.0, 1.0), asked_us, 1_200_050, 3100, 50, 0.5, 0.4, 0.45, 0, asked_us + 3 * 86_400_000_000)
    event, decision, approved, other = operations_of(deal, asked_us + 4 * 86_400_000_000)
    assert [event.kind, decision.kind, approved.kind, other.kind] == [
        Kind.EVENT,
        Kind.DECISION,
        Kind.OUTCOME_IF_APPROVED,
        Kind.OUTCOME_IF_NOT,
    ]
    assert b'"deal_value":12000.50,"base_margin_pct":0.3100,"requested_discount_pct":0.0050' in decision.body
    assert b"C-0001" in decision.body
    assert b"C-0001" not in event.body
    assert orjson.loads(approved.body)["metrics"]["time_to_close_days"] == 3


def test_what_is_not_known_yet_is_not_told() -> None:
    deal = Deal(1, Customer("C-1", "A", 0.0, 1.0), 0, 1_200_000, 3100, 800, 0.5, 0.4, 0.45, 0, 1_000_000)
    assert [one.kind for one in operations_of(deal, 1_000_000)] == [Kind.EVENT, Kind.DECISION]
