"""All definitions, merged. Loading them reads settings and files; it touches neither network nor database."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs import keys, learning, ledger, memory, operations, warehouse
from dagster_project.traced import traced_in_process

defs = dg.Definitions.merge(
    keys.defs,
    ledger.defs,
    warehouse.defs,
    memory.defs,
    learning.defs,
    operations.defs,
    # Steps are seconds long: a process for each would pay several seconds of imports.
    dg.Definitions(executor=traced_in_process),
)
