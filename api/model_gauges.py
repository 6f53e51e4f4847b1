"""Gauges of what models cost. All of today, in UTC, as budgets are; labels are models, purposes and an operator's names of budgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from api.metrics import Measurements
from precedent.adapters.costs import MICROS

OUTCOMES = ("done", "failed", "refused", "open")
KINDS = {"in": "tokens_in", "cached": "tokens_cached", "out": "tokens_out", "untold": "tokens_untold", "unpriced": "tokens_unpriced"}


def set_models(measurements: Measurements, models: Mapping[str, Any] | None) -> None:
    """By what the scrape found; nothing where it found nothing."""
    tell = measurements.set_gauge
    sums: Counter[tuple[str, str, str, str]] = Counter()
    for row in models["today"] if models else ():
        key = (row["model"], row["purpose"])
        for outcome in OUTCOMES:
            sums["calls", *key, outcome] += row[outcome]
        for kind, name in KINDS.items():
            sums["tokens", *key, kind] += row[name]
        sums["retries", *key, ""] += row["retries"]
        sums["mean", *key, ""] += row["tokens_day_mean"]
        if row["currency"] is not None:
            labels = {"model": row["model"], "purpose": row["purpose"], "currency": row["currency"]}
            tell("precedent_model_cost_today", "What a model cost today, by your prices.", labels, row["cost_micros"] / MICROS)
            help_text = "What a model cost a day, on the mean of the week before."
            tell("precedent_model_cost_day_mean", help_text, labels, row["cost_micros_day_mean"] / MICROS)
    for (of, model, purpose, label), count in sums.items():
        name, help_text, label_name = SUMMED[of]
        tell(name, help_text, {"model": model, "purpose": purpose} | ({label_name: label} if label_name else {}), count)
    for row in models["budgets"] if models else ():
        labels = {"budget": row["budget"], "unit": row["unit"]}
        for member, (name, help_text) in BUDGET.items():
            tell(name, help_text, labels, row[member])


SUMMED = {
    "calls": ("precedent_model_calls_today", "Calls of models today, retries among them, by how they ended.", "outcome"),
    "tokens": ("precedent_model_tokens_today", "Tokens today; cached ones are part of those in.", "kind"),
    "retries": ("precedent_model_retries_today", "Calls of models today that were a further try.", ""),
    "mean": ("precedent_model_tokens_day_mean", "Tokens in and out a day, on the mean of the week before.", ""),
}
BUDGET = {
    "limit": ("precedent_model_budget_limit", "What a budget allows for a day, in its unit."),
    "used": ("precedent_model_budget_used", "What of it is used today, reservations among it."),
    "share": ("precedent_model_budget_used_ratio", "That, as a share."),
    "warn_at": ("precedent_model_budget_warn_ratio", "The share from which it warns."),
    "refused": ("precedent_model_budget_refused_today", "Calls that it refused today."),
}
