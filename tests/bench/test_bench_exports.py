"""The ledger that is planted for the bench is a real one: every verifier finds it whole, and the figures are of it."""

from __future__ import annotations

from pathlib import Path

from tests.bench.exports import measure_export

ENTRIES = 700


def test_a_planted_ledger_is_exported_and_verified(database_url: str, tmp_path: Path) -> None:
    figures = measure_export(database_url, ENTRIES, tmp_path)
    assert figures.is_intact
    assert figures.entries == ENTRIES
    assert 20 < figures.export_peak_mb < 300
    assert min(figures.export_per_second, figures.verify_per_second, figures.standalone_per_second, figures.folder_mb) > 0
