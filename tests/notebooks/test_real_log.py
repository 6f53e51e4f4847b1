"""The notebooks on the first cases of the real loan log, imported through the API and derived for all their days."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from deriving import derive
from running_api import ApiProcess
from running_notebooks import NOTEBOOKS, execute, outputs_of

from precedent.settings import project_root

CASES = 600
SAID = {
    "decisions_over_time": f"{CASES} decisions on ",
    "feature_origins": "features counted again, 0 differ",
    "precedents_of_a_case": "10 precedents of 201 that were looked at",
}


@pytest.mark.long
def test_every_notebook_tells_of_the_real_log(
    api_server: ApiProcess, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, mapping = shared / "data/bpic2012/cases.csv", project_root() / "examples/bpic2012/mapping.yaml"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRECEDENT_")}
    environment = kept | {"PRECEDENT_HOME": str(tmp_path / "client"), "PRECEDENT_URL": api_server.url, "PRECEDENT_TOKEN": api_server.token}
    command = [sys.executable, "-m", "precedent.cli.main", "import", str(log), "--mapping", str(mapping), "--limit", str(CASES), "--strict"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=240)
    derive(api_server.database_url, date(2011, 9, 30), date(2011, 11, 1), tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", api_server.database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for path in NOTEBOOKS:
        text, kinds = outputs_of(execute(path, tmp_path))
        assert SAID[path.stem] in text
        assert "image/png" in kinds
