"""Checks are statements; this one blocks, for what is derived from a broken chain spreads a falsehood."""

from __future__ import annotations

import dagster as dg

from precedent.db.embedded import database_url
from precedent.ledger.verify import verify_database
from precedent.settings import load_settings

SHOWN_FINDINGS = 20


@dg.asset_check(
    asset=dg.AssetKey("decisions"), blocking=True, description="Every entry and every row made from it is intact and in its place."
)
def chain_is_unbroken() -> dg.AssetCheckResult:
    settings = load_settings()
    report = verify_database(database_url(settings), chain=settings.chain)
    return dg.AssetCheckResult(
        passed=report.is_intact,
        metadata={
            "ledger_size": report.size,
            "ledger_leaf": report.head_leaf_hex or "none",
            "counts": report.counts,
            "findings": [str(finding) for finding in report.findings[:SHOWN_FINDINGS]],
            "findings_left_out": max(0, len(report.findings) - SHOWN_FINDINGS) + report.left_out,
            "seconds": report.seconds,
        },
    )
