"""Checks are statements; this one blocks, for what is derived from a broken chain spreads a falsehood."""

from __future__ import annotations

import dagster as dg

from precedent.db.embedded import database_url
from precedent.settings import load_settings


@dg.asset_check(asset=dg.AssetKey("decisions"), blocking=True, description="Every entry is intact and in its place, in every chain.")
def chain_is_unbroken() -> dg.AssetCheckResult:
    from precedent.ledger.verify import verify_database

    report = verify_database(database_url(load_settings()))
    return dg.AssetCheckResult(
        passed=report.is_intact,
        metadata={"findings": [str(finding) for finding in report.findings[:20]]},
    )
