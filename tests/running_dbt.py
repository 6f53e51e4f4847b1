"""Runs dbt on a test's database."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from precedent.db.engine import dbt_environment
from precedent.settings import project_root

PROJECT = project_root() / "dbt"


def run_dbt(url: str, target: Path, *arguments: str, project: Path = PROJECT) -> None:
    """Run dbt in this process, which spares seconds of imports a call; the test fails where it failed."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Its dependencies warn of their own deprecations; what we wrote for it is SQL and YAML.
        warnings.simplefilter("ignore")
        from dbt.cli.main import dbtRunner

        for name, value in (dbt_environment(url) | {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(target)}).items():
            patch.setenv(name, value)
        patch.chdir(target)
        done = dbtRunner().invoke(["--quiet", "--no-use-colors", *arguments, "--project-dir", str(project), "--profiles-dir", str(project)])
    assert done.success, done.exception or [(one.node.name, one.message) for one in done.result if one.status not in {"success", "pass"}]
