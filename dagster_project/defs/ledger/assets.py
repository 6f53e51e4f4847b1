"""The ledger's projections as external assets: others write them, a run only notes how far they had come."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from dagster_project.defs.ledger.store import Head

GROUP = "ledger"

DESCRIPTIONS = {
    "events": "Something that happened; one row per event entry.",
    "decisions": "What was decided and from what; one row per decision entry.",
    "outcomes": "What came of decisions; one row per decision and revision.",
    "reviews": "Decisions that wait for a person, and the answers.",
    "policy_versions": "Published policy documents.",
    "ledger_heads": "Size and last leaf of each chain.",
}
# These grow with every request; the others change too rarely to watch.
OBSERVED = ("events", "decisions", "outcomes")

ledger_assets = [
    dg.AssetSpec(name, group_name=GROUP, description=description, kinds={"postgres"}) for name, description in DESCRIPTIONS.items()
]


def observations_of(heads: list[Head]) -> Iterator[dg.AssetObservation]:
    """One observation of each growing asset: the size and last leaf of every chain; the leaf is its data version."""
    for name in OBSERVED:
        yield dg.AssetObservation(name, metadata=metadata_of(heads), tags={"dagster/data_version": version_of(heads)})


def metadata_of(heads: list[Head]) -> dict[str, dg.MetadataValue]:
    """Of each chain, in words that a materialisation carries too: which ledger prefix it was computed from."""
    found: dict[str, dg.MetadataValue] = {}
    for head in heads:
        found[f"ledger_size/{head.chain}"] = dg.MetadataValue.int(head.size)
        found[f"ledger_leaf/{head.chain}"] = dg.MetadataValue.text(head.leaf_hex or "none")
        if head.recorded_at:
            found[f"ledger_recorded_at/{head.chain}"] = dg.MetadataValue.timestamp(head.recorded_at)
        if head.root:
            found[f"ledger_root/{head.chain}"] = dg.MetadataValue.text(head.root.hex())
    return found


def version_of(heads: list[Head]) -> str:
    """Changes when any chain grows."""
    return "-".join(f"{head.size}.{head.leaf_hex[:16]}" for head in heads) or "0"
