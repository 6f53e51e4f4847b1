"""Group `ledger`: what the append function writes, as external assets with their heads observed, and whether it is intact."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.ledger.assets import ledger_assets
from dagster_project.defs.ledger.checks import chain_is_unbroken, head_never_shrinks
from dagster_project.defs.ledger.sensors import ledger_heads

defs = dg.Definitions(assets=ledger_assets, asset_checks=[chain_is_unbroken, head_never_shrinks], sensors=[ledger_heads])
