"""One run of the morning's jobs over some days, in this process: prints the seconds of each step, and of all, as JSON."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from time import perf_counter

with warnings.catch_warnings():
    # A dependency of dagster-dbt announces its own retirement when it is imported.
    warnings.simplefilter("ignore")
    import dagster as dg

    from dagster_project.defs.memory.assets import decision_embeddings, knowledge_snapshots, snapshot_embeddings
    from dagster_project.defs.memory.checks import every_precedent_is_placed, words_hold_no_foreign_number
    from dagster_project.defs.memory.recall import recall_is_high_enough, recall_probe
    from dagster_project.defs.warehouse.assets import dbt_models


def main() -> None:
    first, last = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    assets = [dbt_models, knowledge_snapshots, decision_embeddings, snapshot_embeddings, recall_probe]
    checks = [words_hold_no_foreign_number, every_precedent_is_placed, recall_is_high_enough]
    began = perf_counter()
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([*assets, *checks], instance=instance, tags=tags)
        seconds = {stats.step_key: (stats.end_time or 0) - (stats.start_time or 0) for stats in instance.get_run_step_stats(done.run_id)}
    print(json.dumps({**seconds, "all": perf_counter() - began}))


if __name__ == "__main__":
    main()
