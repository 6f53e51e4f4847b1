"""An executor that tells where a run's time goes: a span for the run, its steps and its assets, in the process that computes.

The trace has the run's own id. Without an address for traces it is the executor that it wraps, and looks at no event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from precedent import spans
from precedent.settings import load_settings
from precedent.spans import Span, correlation_of_run, span
from precedent.tracing import in_trace, provider_of, telling

BEGUN = frozenset({DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED})
ENDED = frozenset({DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY})
DBT_SECONDS = "Execution Duration"  # dbt's own measurement of one model among those of a step


class Traced(dg.Executor):
    """Runs as another executor does, and listens to its events: a step begins and ends with one."""

    def __init__(self, within: dg.Executor) -> None:
        self._within = within

    @property
    def retries(self) -> Any:
        return self._within.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._within.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        with telling(provider_of(load_settings().otlp_endpoint)):
            events = self._within.execute(plan_context, execution_plan)
            yield from _told(events, plan_context.dagster_run) if spans.is_told() else events


def _create(context: dg.InitExecutorContext) -> dg.Executor:
    create: Callable[[dg.InitExecutorContext], dg.Executor] = dg.in_process_executor.executor_creation_fn  # type: ignore[assignment]
    return Traced(create(context))


# In every other way as the one that it wraps.
traced_in_process = dg.ExecutorDefinition(
    name=dg.in_process_executor.name, config_schema=dg.in_process_executor.config_schema.as_field(), executor_creation_fn=_create
)


def _told(events: Iterator[dg.DagsterEvent], run: dg.DagsterRun) -> Iterator[dg.DagsterEvent]:
    """The events, with the run's span around them all and a step's around its own."""
    with in_trace(correlation_of_run(run.run_id)), span(f"run {run.job_name}") as whole, ExitStack() as step:
        _set(whole, {"precedent.run_id": run.run_id, "precedent.correlation_id": correlation_of_run(run.run_id)})
        told: Span | None = None
        began_ns = 0
        for event in events:
            if event.event_type in BEGUN:
                told, began_ns = step.enter_context(span(f"step {event.step_key}")), time.time_ns()
            elif event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
                _tell_asset(event, began_ns)
            elif event.event_type in ENDED:
                _set(told, _failure_of(event))
                step.close()
            yield event


def _tell_asset(event: dg.DagsterEvent, step_began_ns: int) -> None:
    """One of a step's assets, which was just made: since the step began, or as long as dbt took for it."""
    made = event.step_materialization_data.materialization
    ended_ns, name = time.time_ns(), made.asset_key.to_user_string()
    seconds, rows = (getattr(made.metadata.get(key), "value", None) for key in (DBT_SECONDS, "rows_written"))
    began_ns = ended_ns - int(seconds * 1e9) if isinstance(seconds, float) else step_began_ns
    told: dict[str, str | int | bool] = {"precedent.asset": name}
    if isinstance(rows, int):
        told["precedent.rows"] = rows
    spans.past(f"asset {name}", began_ns, ended_ns, told)


def _failure_of(event: dg.DagsterEvent) -> dict[str, str]:
    """The class of what a step failed of, without its words."""
    error = getattr(event.event_specific_data, "error", None)
    cause = getattr(error, "cause", None) or error
    return {"error.type": cause.cls_name} if cause is not None and cause.cls_name else {}


def _set(told: Span | None, attributes: spans.Attributes) -> None:
    if told is not None:
        told.set_attributes(attributes)
