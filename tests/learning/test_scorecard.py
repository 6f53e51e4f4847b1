from __future__ import annotations

from decimal import Decimal
from math import comb, exp, lgamma, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta as beta_distribution

from precedent.learning.scorecard import Arm, Card, Tally, cards_of, posteriors, wilson_interval


# R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3: printed to four digits.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_newcombes(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson_interval(successes, n, 0.95)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_without_data_anything_is_possible() -> None:
    interval = wilson_interval(0, 0)
    assert (interval.low, interval.high) == (0.0, 1.0)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_an_interval_holds_its_rate_within_0_and_1_and_mirrors(counts: tuple[int, int], confidence: float) -> None:
    successes, n = counts
    interval = wilson_interval(successes, n, confidence)
    mirrored = wilson_interval(n - successes, n, confidence)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize(("successes", "n", "confidence"), [(-1, 5, 0.9), (6, 5, 0.9), (1, 5, 0.0), (1, 5, 1.0), (float("nan"), 5, 0.9)])
def test_an_impossible_count_is_refused(successes: float, n: float, confidence: float) -> None:
    with pytest.raises(ValueError):
        wilson_interval(successes, n, confidence)


def exact_best_probability(arm: Arm, other: Arm) -> float:
    """P(arm > other) for whole alphas, as a finite sum: ∑ B(a₂+i, b₁+b₂) / ((b₁+i) B(1+i, b₁) B(a₂, b₂)), i < a₁, from the sides
    exchanged (J. Cook, 2005)."""

    def log_b(a: float, b: float) -> float:
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    return sum(
        exp(log_b(other.alpha + i, other.beta + arm.beta) - log(arm.beta + i) - log_b(1 + i, arm.beta) - log_b(other.alpha, other.beta))
        for i in range(int(arm.alpha))
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Arm(2, 1), Arm(1, 1)),
        (Arm(81, 219), Arm(61, 239)),
        (Arm(1, 1), Arm(500, 500)),
        (Arm(1001, 9001), Arm(1051, 8951)),
        (Arm(40_001, 60_001), Arm(40_301, 59_701)),
    ],
)
def test_p_best_of_two_arms_is_the_closed_form(first: Arm, second: Arm) -> None:
    better, worse = posteriors([first, second])
    assert better.is_best_probability == pytest.approx(exact_best_probability(first, second), abs=1e-7)
    assert better.is_best_probability + worse.is_best_probability == pytest.approx(1, abs=1e-7)


def test_a_single_success_against_nothing_is_two_thirds() -> None:
    # ∫ 2x · x dx over [0, 1]
    assert posteriors([Arm(2, 1), Arm(1, 1)])[0].is_best_probability == pytest.approx(2 / 3, abs=1e-8)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_equal_arms_are_best_equally_often(count: int) -> None:
    for held in posteriors([Arm(31, 17)] * count):
        assert held.is_best_probability == pytest.approx(1 / count, abs=1e-7)
        assert held.mean == pytest.approx(31 / 48)


def test_the_largest_of_uniform_arms_is_found_by_binomials() -> None:
    # One Beta(k, 1) against m uniforms: ∫ k x^(k-1) x^m dx = k / (k + m)
    held = posteriors([Arm(4, 1), Arm(1, 1), Arm(1, 1), Arm(1, 1)])
    assert held[0].is_best_probability == pytest.approx(4 / 7, abs=1e-8)
    assert comb(4, 1) / 28 == pytest.approx(held[1].is_best_probability, abs=1e-8)


# Counters begin at 1 and rewards only add to them.
arms = st.builds(Arm, st.floats(1, 1e6), st.floats(1, 1e6))


@settings(max_examples=40, deadline=None)
@given(st.lists(arms, min_size=2, max_size=4))
def test_probabilities_sum_to_one_also_for_spikes(held: list[Arm]) -> None:
    assert sum(each.is_best_probability for each in posteriors(held)) == pytest.approx(1, abs=1e-8)


def test_a_spike_apart_from_a_plain_is_not_stepped_past() -> None:
    spike, plain = Arm(300_000, 700_000), Arm(1, 1)
    chance = posteriors([spike, plain])[0].is_best_probability
    # The plain's cdf is x itself: P(spike > plain) is the spike's mean.
    assert chance == pytest.approx(0.3, abs=1e-8)
    assert beta_distribution.cdf(0.3, 300_000, 700_000) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("arm", [Arm(0, 1), Arm(1, -1), Arm(float("nan"), 1)])
def test_what_is_no_posterior_is_refused(arm: Arm) -> None:
    with pytest.raises(ValueError, match="positive"):
        posteriors([arm, Arm(1, 1)])


def test_a_card_compares_versions_of_one_experiment_by_their_rewards() -> None:
    def tally(action: str, version: str, matured: int, rewarded: int, reward_sum: str) -> Tally:
        return Tally("finance", action, f"p@{version}", matured, rewarded, Decimal(reward_sum))

    better, worse = tally("approve_discount", "1.1.0", 30, 20, "14.5"), tally("approve_discount", "1.0.0", 20, 20, "5.5")
    silent, alone = tally("approve_discount", "0.9.0", 12_688, 0, "0"), tally("approve_refund", "1.0.0", 4, 4, "4")
    worse_card, better_card, silent_card, alone_card = cards_of([alone, better, silent, worse])
    assert silent_card == Card(silent), "history that nothing is learned from is compared with nobody"
    assert (better_card.tally, better_card.reward_mean) == (better, 0.725)
    assert better_card.low is not None
    assert better_card.low == wilson_interval(14.5, 20).low
    chances = [card.is_best_probability or 0 for card in (worse_card, better_card)]
    assert chances == [each.is_best_probability for each in posteriors([Arm(6.5, 15.5), Arm(15.5, 6.5)])]
    assert sum(chances) == pytest.approx(1)
    assert alone_card.is_best_probability == pytest.approx(1)
