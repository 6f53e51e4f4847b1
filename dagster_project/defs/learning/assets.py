"""Scorecards of the versions that have outcomes. They describe; nothing is promoted by them.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` as an object.
"""

from itertools import groupby

import dagster as dg

from dagster_project.defs.ledger.assets import metadata_of
from dagster_project.defs.ledger.store import read_heads
from dagster_project.defs.runs import AGAIN, again_if_away
from precedent.db.embedded import database_url
from precedent.db.engine import PIPELINE, connect
from precedent.learning.scorecard import Arm, posteriors, wilson_interval
from precedent.learning.store import VariantStats, read_variants
from precedent.ledger.store import chain_id_of
from precedent.settings import load_settings

COLUMNS = [
    dg.TableColumn("experiment", description="node/action"),
    dg.TableColumn("variant", description="the policy's reference"),
    dg.TableColumn("outcomes", "float", description="outcomes that count"),
    dg.TableColumn("reward", "float", description="mean of their rewards; empty before the first"),
    dg.TableColumn("low", "float", description="Wilson interval of 95 %, valid for one look at a sample that was not chosen adaptively"),
    dg.TableColumn("high", "float"),
    dg.TableColumn("is_best", "float", description="probability, by the Beta posteriors, that its rate is the highest of the experiment"),
]


@dg.asset(
    group_name="learning",
    deps=[dg.AssetKey("outcomes")],
    kinds={"postgres"},
    retry_policy=AGAIN,
    description="Of each version that has outcomes: how many, their mean reward, its interval. Descriptive: nothing is promoted by it.",
)
def variant_scorecards(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    settings = load_settings()
    url = database_url(settings)
    with again_if_away(), connect(url, PIPELINE) as connection:
        # The counters only grow: they hold at least what this prefix holds.
        heads = read_heads(url)
        stats = read_variants(connection, chain_id_of(connection, settings.chain))
    rows = [record for _, arms in groupby(stats, key=lambda one: one.experiment) for record in scorecard(list(arms))]
    table = dg.MetadataValue.table(rows, dg.TableSchema(COLUMNS))
    return dg.MaterializeResult(metadata=metadata_of(heads) | {"rows": dg.MetadataValue.int(len(rows)), "scorecards": table})


def scorecard(arms: list[VariantStats]) -> list[dg.TableRecord]:
    """One row for each version of an experiment."""
    chances = posteriors([Arm(float(one.alpha), float(one.beta)) for one in arms])
    found = []
    for one, chance in zip(arms, chances, strict=True):
        count, won = float(one.rewarded_count), float(one.reward_sum)
        interval = wilson_interval(won, count)
        values: dict[str, str | float | None] = {
            "experiment": one.experiment,
            "variant": one.variant,
            "outcomes": count,
            "reward": won / count if count else None,
        }
        found.append(dg.TableRecord(values | {"low": interval.low, "high": interval.high, "is_best": chance.is_best_probability}))
    return found
