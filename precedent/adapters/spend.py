"""What was spent, added up: by whatever is asked, and against each budget of today. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from precedent.adapters.costs import MICROS, TOKENS, CostBook
from precedent.adapters.spend_store import Spent

DAYS_BEFORE = 7
COUNTS = (
    *("open", "done", "failed", "refused", "retries", "tokens_in", "tokens_cached", "tokens_out", "tokens_untold", "tokens_unpriced"),
    *("cost_micros", "duration_ms"),
)


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit of a budget today: in `unit`, tokens or a currency; `warn_at` is a share of `limit`."""

    budget: str
    unit: str
    limit: float
    used: float
    share: float
    warn_at: float
    refused: int


def totals_by(spent: Sequence[Spent], *names: str) -> list[dict[str, Any]]:
    """One row for each value of `names` and currency, with all counts; where no currency, `cost_micros` is None: no price was known."""
    keys = (*names, "currency")
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in spent:
        key = tuple(getattr(one, name) for name in keys)
        row = found.setdefault(key, dict(zip(keys, key, strict=True)) | dict.fromkeys(COUNTS, 0))
        for count in COUNTS:
            row[count] += getattr(one, count)
    for row in found.values():
        row["cost_micros"] = None if row["currency"] is None else row["cost_micros"]
    return [found[key] for key in sorted(found, key=lambda key: [(value is not None, value) for value in key])]


def today_and_before(spent: Sequence[Spent]) -> list[dict[str, Any]]:
    """Today's totals by model, purpose and currency, zeros where only the week before had any; and the mean day of that week."""
    totals = _by_model([one for one in spent if one.is_today])
    before = _by_model([one for one in spent if not one.is_today])
    rows = []
    for key, week in before.items():
        totals.setdefault(key, week | dict.fromkeys(COUNTS, 0) | {"cost_micros": None if week["cost_micros"] is None else 0})
    for key, row in totals.items():
        week = before.get(key, dict.fromkeys(COUNTS, 0))
        means = {
            "tokens_day_mean": (week["tokens_in"] + week["tokens_out"]) / DAYS_BEFORE,
            "cost_micros_day_mean": None if row["cost_micros"] is None else (week["cost_micros"] or 0) / DAYS_BEFORE,
        }
        rows.append(row | means)
    return rows


def _by_model(spent: Sequence[Spent]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {(row["model"], row["purpose"], row["currency"]): row for row in totals_by(spent, "model", "purpose")}


def standings(book: CostBook, spent: Sequence[Spent]) -> list[Standing]:
    """Where each budget stands today."""
    found = []
    for name, budget in book.budgets.items():
        refused = sum(one.refused for one in spent if one.is_today and one.refused_by == name)
        for unit, limit, used in used_of(book, name, spent):
            scale = 1 if unit == TOKENS else MICROS
            found.append(Standing(name, unit, limit / scale, used / scale, used / limit, float(budget.warn_at), refused))
    return found


def used_of(book: CostBook, name: str, spent: Sequence[Spent]) -> list[tuple[str, int, int]]:
    """Unit, limit and what is used today, of each limit of a budget; money in millionths, of today's currency alone."""
    budget = book.budgets[name]
    rows = [one for one in spent if one.is_today and budget.covers(one.purpose, one.node)]
    found = []
    if budget.tokens is not None:
        found.append((TOKENS, budget.tokens, sum(one.tokens for one in rows)))
    if budget.money is not None and book.currency is not None:
        used = sum(one.cost_micros for one in rows if one.currency == book.currency)
        found.append((book.currency, int(budget.money * MICROS), used))
    return found
