"""Scorecards of the versions that have outcomes. They describe; nothing is promoted by them.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` as an object.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from dagster_project.defs.ledger.statements import stating
from dagster_project.defs.ledger.store import ledger_cut
from dagster_project.defs.runs import AGAIN, DERIVING, again_if_away
from dagster_project.defs.warehouse.translator import FRESH
from precedent.db.embedded import database_url
from precedent.db.engine import PIPELINE, connect
from precedent.learning.scorecard import Card, cards_of
from precedent.learning.scorecard_store import SOURCE, read_panel, write_cards
from precedent.ledger.store import chain_id_of
from precedent.lineage.state import Maker, read_prefix
from precedent.settings import load_settings

COLUMNS = [
    dg.TableColumn("experiment", description="node/action"),
    dg.TableColumn("variant", description="the policy's reference"),
    dg.TableColumn("matured", "int", description="decisions of which an outcome is known"),
    dg.TableColumn("outcomes", "int", description="those that count"),
    dg.TableColumn("reward", "float", description="mean of their rewards; empty, as what follows, without one"),
    dg.TableColumn("low", "float", description="Wilson interval of 95 %, valid for one look at a sample that was not chosen adaptively"),
    dg.TableColumn("high", "float"),
    dg.TableColumn("is_best", "float", description="probability, by the Beta posteriors, that its rate is the highest of the experiment"),
]


@dg.asset(
    group_name="learning",
    deps=[dg.AssetKey("variant_panel")],
    kinds={"postgres"},
    retry_policy=AGAIN,
    pool=DERIVING,
    freshness_policy=FRESH,
    description="Of each version that has outcomes: how many, their mean reward, its interval. Descriptive: nothing is promoted by it.",
)
def variant_scorecards(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    settings, today = load_settings(), datetime.now(UTC).date()
    url = database_url(settings)
    # Under the lock no run of dbt puts another panel in the place of the one that is read.
    with again_if_away(), ledger_cut(url), connect(url, PIPELINE) as connection:
        chain_id = chain_id_of(connection, settings.chain)
        panel = read_panel(connection, chain_id)
        if panel is None:
            return dg.MaterializeResult(metadata={"rows": 0, "panel": "not built: run the job aggregator"})
        prefix, cards = read_prefix(connection, chain_id, panel.size), cards_of(panel.tallies)
        connection.rollback()
        with stating(context, url, [prefix], "variant_scorecards", Maker(f"scorecard@1 panel:{SOURCE}"), today):
            write_cards(connection, chain_id, today, cards, prefix.size)
            connection.commit()
        size, root = f"ledger_size/{settings.chain}", f"ledger_root/{settings.chain}"
        return dg.MaterializeResult(
            metadata={size: prefix.size, root: prefix.root.hex(), "rows": len(cards), "scorecards": table_of(cards)}
        )


def table_of(cards: Sequence[Card]) -> dg.TableMetadataValue:
    rows = []
    for card in cards:
        one = card.tally
        values: dict[str, str | int | float | None] = {"experiment": one.experiment, "variant": one.policy_version}
        values |= {"matured": one.matured_count, "outcomes": one.rewarded_count, "reward": card.reward_mean}
        rows.append(dg.TableRecord(values | {"low": card.low, "high": card.high, "is_best": card.is_best_probability}))
    return dg.MetadataValue.table(rows, dg.TableSchema(COLUMNS))
