"""A deal desk that never was: requests for discounts whose truth is known, so that what is learned from them can be judged.

Truth. With d the discount that was given (as a share; 0 unless the request was approved), m the margin before it, v the deal's
value, and each customer's own u ~ N(0, 0.4), a deal is won with probability 1 / (1 + e^-z), where

    z = -0.35 + 9·d - 1.5·(m - 0.30) + tier + 0.25·season - 0.15·ln(v / 8000) + 0.30·rush + u
    tier: A 0.50, B 0.10, C -0.30;   season = sin(2π · day of year / 365);   rush = 1 in a quarter's last ten days, else 0

A discount of 8 % thus adds 0.72 to the log odds. Margin after a discount is 1 - (1 - m) / (1 - d), give or take 0.5 points.
Requests follow a Poisson process: weekday factors, ±15 % by season, up to 1.8 times as many in a quarter's last ten days.
Discounts asked for: gamma with shape 2 and mean 6 % (A), 7 % (B), 8 % (C), 2 points more in the rush, in steps of half a point.
Outcomes come after a gamma-distributed delay (mean 5 days for A, 7 for B, 9 for C); 6 % never come.

Equal arguments give equal deals. Pure: no clock, no files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import exp, log, pi, sin

import numpy as np
from numpy.random import Generator

from precedent.clock import EPOCH

CUSTOMERS = 400
TIERS = ("A", "B", "C")
TIER_SHARES = (0.2, 0.35, 0.45)
TIER_LOG_ODDS = {"A": 0.50, "B": 0.10, "C": -0.30}
TIER_MEAN_DISCOUNT = {"A": 0.06, "B": 0.07, "C": 0.08}
TIER_MEAN_DELAY_DAYS = {"A": 5.0, "B": 7.0, "C": 9.0}
WEEKDAY_FACTORS = (1.25, 1.3, 1.25, 1.2, 1.1, 0.5, 0.4)
NEVER_SHARE = 0.06
RUSH_DAYS = 10
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Customer:
    """`pull` is u of the truth; `weight` how often this customer asks, relative to others."""

    id: str
    tier: str
    pull: float
    weight: float


@dataclass(frozen=True, slots=True)
class Deal:
    """One request and its two possible ends. Ratios are in basis points, money in cents, instants in microseconds.

    `luck` decides: the deal is won where it lies below the probability. `closed_us` is None where no outcome ever comes.
    """

    number: int
    customer: Customer
    asked_us: int
    value_cents: int
    margin_bp: int
    discount_bp: int
    win_if_approved: float
    win_if_not: float
    luck: float
    margin_noise_bp: int
    closed_us: int | None

    def is_won(self, *, is_approved: bool) -> bool:
        return self.luck < (self.win_if_approved if is_approved else self.win_if_not)

    def final_margin_bp(self, *, is_approved: bool) -> int:
        """What is left of the margin when the discount is given, or not."""
        discount_bp = self.discount_bp if is_approved else 0
        left = 10_000 - (10_000 - self.margin_bp) * 10_000 / (10_000 - discount_bp)
        return max(-10_000, min(10_000, round(left) + self.margin_noise_bp))

    def days_to_close(self) -> int:
        return 0 if self.closed_us is None else (self.closed_us - self.asked_us) // DAY_US


def deals(seed: int, until: date, days: int, rate: float) -> Iterator[Deal]:
    """The deals asked for on the `days` days before `until`, `rate` a day on average, in the order of time."""
    rng = np.random.default_rng(seed)
    customers = _customers(rng)
    weights = np.array([one.weight for one in customers])
    weights /= weights.sum()
    number = 0
    for day in (until - timedelta(days=left) for left in range(days, 0, -1)):
        count = int(rng.poisson(rate * _demand(day)))
        # 9 to 17 o'clock, a hump before and one after noon.
        hours = np.sort(np.clip(rng.normal(np.where(rng.random(count) < 0.55, 10.5, 15.0), 1.4), 0.0, 23.99))
        for hour, place in zip(hours, rng.choice(len(customers), size=count, p=weights), strict=True):
            number += 1
            start = datetime.combine(day, time(), UTC) - EPOCH
            asked_us = start // timedelta(microseconds=1) + int(hour * 3_600_000_000)
            yield _deal(rng, number, customers[int(place)], day, asked_us)


def win_probability(customer: Customer, on: date, value_cents: int, margin: float, discount: float) -> float:
    """The truth of this module's docstring."""
    z = -0.35 + 9 * discount - 1.5 * (margin - 0.30) + TIER_LOG_ODDS[customer.tier] + 0.25 * _season(on)
    z += -0.15 * log(value_cents / 800_000) + 0.30 * is_rush(on) + customer.pull
    return 1 / (1 + exp(-z))


def is_rush(on: date) -> bool:
    """Whether a quarter ends within ten days."""
    return (on + timedelta(days=RUSH_DAYS)).month in {1, 4, 7, 10} and on.month in {3, 6, 9, 12}


def _season(on: date) -> float:
    return sin(2 * pi * on.timetuple().tm_yday / 365)


def _demand(on: date) -> float:
    rush = 1.8 if is_rush(on) else 1.0
    return WEEKDAY_FACTORS[on.weekday()] * (1 + 0.15 * _season(on)) * rush


def _customers(rng: Generator) -> list[Customer]:
    tiers = rng.choice(len(TIERS), size=CUSTOMERS, p=TIER_SHARES)
    pulls = rng.normal(0.0, 0.4, size=CUSTOMERS)
    return [
        Customer(f"C-{place + 1:04}", TIERS[int(tier)], float(pull), 1 / (place % 100 + 5))
        for place, (tier, pull) in enumerate(zip(tiers, pulls, strict=True))
    ]


def _deal(rng: Generator, number: int, customer: Customer, on: date, asked_us: int) -> Deal:
    tier = customer.tier
    value_cents = max(10_000, round(float(rng.lognormal(log(8000), 0.8)) * 100))
    margin_bp = int(np.clip(rng.normal(3200, 550), 500, 6500))
    mean_discount = TIER_MEAN_DISCOUNT[tier] + (0.02 if is_rush(on) else 0.0)
    discount_bp = min(4000, 50 * max(1, round(float(rng.gamma(2.0, mean_discount / 2)) * 200)))
    margin = margin_bp / 10_000
    delay_us = int(rng.gamma(2.0, TIER_MEAN_DELAY_DAYS[tier] / 2) * DAY_US) + 60_000_000
    return Deal(
        number=number,
        customer=customer,
        asked_us=asked_us,
        value_cents=value_cents,
        margin_bp=margin_bp,
        discount_bp=discount_bp,
        win_if_approved=win_probability(customer, on, value_cents, margin, discount_bp / 10_000),
        win_if_not=win_probability(customer, on, value_cents, margin, 0.0),
        luck=float(rng.random()),
        margin_noise_bp=round(float(rng.normal(0, 50))),
        closed_us=asked_us + delay_us if rng.random() >= NEVER_SHARE else None,
    )
