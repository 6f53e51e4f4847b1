"""`precedent variants`: what the counters say of each variant, labelled for what it is."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Annotated, Any

import typer

from precedent.db.embedded import database_url
from precedent.db.engine import ANALYST, connect
from precedent.learning.scorecard import Arm, posteriors, wilson_interval
from precedent.learning.store import VariantStats, read_variants
from precedent.ledger.store import chain_id_of
from precedent.settings import load_settings

LABEL = "descriptive: variants are chosen adaptively, so these numbers alone are no ground to promote one"

app = typer.Typer(add_completion=False)


@app.command()
def variants(
    experiment: Annotated[str | None, typer.Option(help="only this one, as node/action")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Show outcomes, rate with its 95 % Wilson interval, posterior mean and P(best) of each variant."""
    settings = load_settings()
    with connect(database_url(settings), ANALYST) as connection:
        stats = read_variants(connection, chain_id_of(connection, settings.chain), experiment)
    rows = [row for _, members in groupby(stats, key=lambda held: held.experiment) for row in describe(list(members))]
    if as_json:
        typer.echo(json.dumps({"label": LABEL, "variants": rows}, indent=2))
        return
    typer.echo(LABEL if rows else "no counted outcome yet")
    for row in rows:
        typer.echo(_line(row))


def describe(members: list[VariantStats]) -> list[dict[str, Any]]:
    """One row a variant of one experiment."""
    beliefs = posteriors([Arm(float(held.alpha), float(held.beta)) for held in members])
    rows = []
    for held, belief in zip(members, beliefs, strict=True):
        count, won = float(held.rewarded_count), float(held.reward_sum)
        interval = wilson_interval(won, count)
        rows.append(
            {
                "experiment": held.experiment,
                "variant": held.variant,
                "outcomes_count": count,
                "reward_sum": won,
                "reward_rate": won / count if count else None,
                "interval": [interval.low, interval.high],
                "posterior_mean": belief.mean,
                "is_best_probability": belief.is_best_probability,
            }
        )
    return rows


def _line(row: dict[str, Any]) -> str:
    rate = "-" if row["reward_rate"] is None else f"{row['reward_rate']:.3f}"
    low, high = row["interval"]
    return (
        f"{row['experiment']}  {row['variant']}  outcomes {row['outcomes_count']:g}  rate {rate} [{low:.3f}, {high:.3f}]"
        f"  mean {row['posterior_mean']:.3f}  P(best) {row['is_best_probability']:.3f}"
    )
