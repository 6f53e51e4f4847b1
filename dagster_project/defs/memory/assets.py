"""The assets of memory. A range of days is one run, and gives the same rows when it is run again.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` as an object.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import dagster as dg

from dagster_project.defs.ledger.statements import stating
from dagster_project.defs.memory.days import cut_of
from dagster_project.defs.runs import AGAIN, DERIVING
from dagster_project.defs.warehouse.translator import FRESH, daily
from precedent.adapters.openai import model_server_of
from precedent.db.engine import PIPELINE, connect
from precedent.lineage.state import Maker, Upstream
from precedent.memory.embedder import Embedder, OpenAIEmbedder, TypedEmbedder, embedder_of
from precedent.memory.embedding import embed_days
from precedent.memory.embedding_store import read_serving
from precedent.memory.snapshot import by_template, distill_days, embed_snapshots
from precedent.memory.snapshot_store import SOURCES
from precedent.memory.wording import ATTEMPTS, TIMEOUT_SECONDS, model_writer

GROUP = "memory"
FACTS = [dg.AssetKey("decisions"), dg.AssetKey("outcomes"), dg.AssetKey("reviews")]
# The digests of the SQL that makes the numbers.
SNAPSHOTS = " ".join(f"{name}:{digest}" for name, digest in SOURCES.items())

Body = Callable[[dg.AssetExecutionContext], dg.MaterializeResult[None]]


def of_days(name: str, deps: list[dg.AssetKey], description: str) -> Callable[[Body], dg.AssetsDefinition]:
    """An asset of memory: a partition a day, and one run for a range of them."""
    spec = dg.AssetSpec(name, deps=deps, group_name=GROUP, description=description, kinds={"postgres"}, freshness_policy=FRESH)
    # Not `dg.asset`, whose `backfill_policy` is in beta.
    return dg.multi_asset(
        name=name, specs=[spec], partitions_def=daily, backfill_policy=dg.BackfillPolicy.single_run(), retry_policy=AGAIN, pool=DERIVING
    )


@of_days("knowledge_snapshots", FACTS, "Of every node and day: what was decided, answered and known, as numbers and as words.")
def knowledge_snapshots(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    with cut_of(context) as cut:
        model = cut.settings.summary_model
        server = model_server_of(cut.settings, cut.url, cut.chain_id, timeout_seconds=TIMEOUT_SECONDS, attempts=ATTEMPTS)
        write = model_writer(server, model) if server and model else by_template
        with stating(context, cut.url, [cut.prefix], "knowledge_snapshots", Maker(SNAPSHOTS)):
            done = distill_days(cut.url, cut.chain_id, cut.size, cut.first, cut.after_last, datetime.now(UTC), write)
        return dg.MaterializeResult(
            metadata=cut.stated(rows_written=done.added_count, corrected=done.corrected_count, nodes_and_days=done.day_count)
        )


@of_days(
    "decision_embeddings",
    FACTS,
    "Decisions that may be precedents, placed by the model that serves: a row enters on the day on which it qualified.",
)
def decision_embeddings(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    with cut_of(context) as cut:
        with connect(cut.url, PIPELINE) as connection:
            serving = read_serving(connection, cut.chain_id)
        embedder: Embedder = embedder_of(serving.model_id, serving.parameters) if serving else TypedEmbedder()
        with stating(context, cut.url, [cut.prefix], "decision_embeddings", _maker_of(embedder)):
            done = embed_days(cut.url, cut.chain_id, embedder, cut.size, cut.start, cut.end)
        return dg.MaterializeResult(metadata=cut.stated(rows_written=done.added_count, qualified=done.qualified_count, model=done.model_id))


@of_days(
    "snapshot_embeddings",
    [dg.AssetKey("knowledge_snapshots")],
    "The words of snapshots, placed by a text model; nothing without a key for one.",
)
def snapshot_embeddings(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    with cut_of(context) as cut:
        server, added, model = model_server_of(cut.settings, cut.url, cut.chain_id), 0, "none: OPENAI_API_KEY is not set"
        if server:
            embedder = OpenAIEmbedder(server)
            model = embedder.model_id
            with stating(context, cut.url, [cut.prefix], "snapshot_embeddings", _maker_of(embedder, [Upstream("knowledge_snapshots")])):
                added = embed_snapshots(cut.url, cut.chain_id, embedder, cut.first, cut.after_last)
        return dg.MaterializeResult(metadata=cut.stated(rows_written=added, model=model))


def _maker_of(embedder: Embedder, upstream: Sequence[Upstream] = ()) -> Maker:
    """The model's id says what it does, and its vectors are the rows."""
    return Maker(embedder.model_id, upstream, {"model": embedder.model_id, "dimension": embedder.dimension})
