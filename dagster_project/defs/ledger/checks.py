"""Checks are statements; these block, for what is derived from a broken or shortened chain spreads a falsehood.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` as an object.
"""

import dagster as dg

from dagster_project.defs.ledger.store import read_heads, read_root
from precedent.db.embedded import database_url
from precedent.ledger.verify import verify_database
from precedent.settings import load_settings

SHOWN_FINDINGS = 20
DERIVED = ("entity_features", "knowledge_snapshots")


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


@dg.asset_check(
    asset=dg.AssetKey("decisions"),
    blocking=True,
    description="Each chain still begins with the entries that features and snapshots were computed from last.",
)
def head_never_shrinks(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    url, findings = database_url(load_settings()), list[str]()
    heads = read_heads(url)
    for asset in DERIVED:
        event = context.instance.get_latest_materialization_event(dg.AssetKey(asset))
        stated = event.asset_materialization.metadata if event and event.asset_materialization else {}
        for head in heads:
            size, root = (stated.get(f"ledger_{name}/{head.chain}") for name in ("size", "root"))
            if size is None or root is None:
                continue
            if int(size.value) > head.size:
                findings.append(f"{asset} was computed from {size.value} entries of {head.chain}, which has {head.size}")
            elif read_root(url, head.chain_id, int(size.value)).hex() != root.value:
                findings.append(f"{asset} was computed from {size.value} entries of {head.chain}, which were others")
    return dg.AssetCheckResult(passed=not findings, metadata={"findings": findings})
