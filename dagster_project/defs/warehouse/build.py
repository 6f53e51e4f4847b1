"""Runs dbt for one cut of the ledger and one range of days, and turns what it says into Dagster's events."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliInvocation, DbtProject
from dagster_dbt.asset_utils import get_updated_cli_invocation_params_for_context
from packaging.version import Version

from dagster_project.defs.ledger.assets import metadata_of
from dagster_project.defs.ledger.store import Head
from dagster_project.defs.warehouse.manifest import dbt_executable
from precedent.db.engine import dbt_environment

AfterModel = Callable[[str], None]


def build_models(
    context: dg.AssetExecutionContext,
    project: DbtProject,
    translator: DagsterDbtTranslator,
    url: str,
    heads: list[Head],
    days: tuple[str, str] | None,
    after_model: AfterModel,
) -> Iterator[Any]:
    """Build and test the models that the run selects, in one dbt process; yields outputs and check results as they come.

    `days` is (first, day after the last); None where no mart is selected. `after_model` is called with the name of each model when its
    rows are committed.

    Raises: dagster_dbt.errors.DagsterDbtCliRuntimeError where a model fails.
    """
    manifest: Mapping[str, Any] = json.loads(project.manifest_path.read_text())
    selected = get_updated_cli_invocation_params_for_context(context.op_execution_context, manifest, translator)
    with tempfile.TemporaryDirectory(prefix="precedent-dbt-") as target:
        environment = _environment(url, project, target)
        if selected.indirect_selection:
            environment["DBT_INDIRECT_SELECTION"] = selected.indirect_selection
        # Not DbtCliResource.cli: it asks `dbt --version` each time, which looks for a newer release on the network.
        invocation = DbtCliInvocation.run(
            args=[*_command(heads, days), *selected.selection_args],
            env=environment,
            manifest=manifest,
            dagster_dbt_translator=translator,
            project_dir=project.project_dir,
            target_path=Path(target),
            raise_on_error=True,
            context=context,
            adapter=None,
            cli_version=Version(version("dbt-core")),
            dbt_project=project,
        )
        stated = metadata_of(heads)
        for message in invocation.stream_raw_events():
            for event in message.to_default_asset_events(manifest, translator, context, Path(target), project):
                if isinstance(event, dg.Output):
                    after_model(message.raw_event["data"]["node_info"]["node_name"])
                    yield event.with_metadata({**event.metadata, **stated, **_rows_written(message.raw_event)})
                else:
                    yield event


def _command(heads: list[Head], days: tuple[str, str] | None) -> list[str]:
    first, after_last = days or (None, None)
    variables = {"ledger_prefix": {str(head.chain_id): head.size for head in heads}, "from_day": first, "to_day": after_last}
    return [str(dbt_executable()), "build", "--exclude-resource-type", "unit_test", "--vars", json.dumps(variables)]


def _environment(url: str, project: DbtProject, target: str) -> dict[str, str]:
    return (
        os.environ
        | dbt_environment(url)
        | {
            "DBT_PROJECT_DIR": str(project.project_dir),
            "DBT_PROFILES_DIR": str(project.profiles_dir),
            "DBT_TARGET_PATH": target,
            "DBT_LOG_PATH": target,
            "DBT_LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }
    )


def _rows_written(raw_event: Mapping[str, Any]) -> dict[str, int]:
    """Rows that a table gained, by PostgreSQL's word ("INSERT 0 166", "SELECT 166"); nothing for a view."""
    found = re.search(r"^(?:INSERT 0|SELECT) (\d+)$", str(raw_event["data"].get("status", "")))
    return {"rows_written": int(found[1])} if found else {}
