"""The README's words about proving the record, run as they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import sample_entries as sample
from conftest import REPOSITORY
from exporting import Covered
from integrated import SEED


def commands_after(heading: str) -> str:
    """The first block of shell commands after these words."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return text.split(heading, 1)[1].split("```sh\n", 1)[1].split("```", 1)[0]


def test_an_export_proves_itself_elsewhere_and_names_a_flipped_byte(database_url: str, tmp_path: Path) -> None:
    ledger = Covered(database_url, tmp_path / "witnesses")
    sample.fill(database_url)
    ledger.append(300)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "PRECEDENT_HOME": str(tmp_path / "home"),
        "PRECEDENT_DATABASE_URL": database_url,
        "PRECEDENT_SIGNER_KEY": SEED.hex(),
    }
    argv = ["bash", "-uc", commands_after("**Prove it.**")]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "entries 0 to 333 of 334 exported to audit" in done.stdout
    first, second = done.stdout.split("334 of 334 entries read")[1:]
    assert "entries: 334 intact, " in first
    assert "\nintact\n" in first
    assert str(ledger.signer.verifier) in first
    assert "333 intact, 0 erased, 0 withheld, 1 mutated" in second
    assert "  entry 3 mutated: envelope: " in second
    assert second.endswith("NOT INTACT\n")
