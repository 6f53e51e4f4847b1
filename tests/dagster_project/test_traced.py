"""A run of the pipeline is a trace with the run's own id: its steps inside it, their assets inside those, and no error's words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import dagster as dg
import pytest
from collecting import collecting
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sample_entries import append_all, decision

from precedent.tracing import provider_with, telling

DAY = date(2026, 3, 1).isoformat()


def scorecards() -> dg.JobDefinition:
    from dagster_project.definitions import defs

    return defs.resolve_job_def("scorecards")


def aggregator() -> dg.JobDefinition:
    from dagster_project.definitions import defs

    return defs.resolve_job_def("aggregator")


def rotate_epoch() -> dg.JobDefinition:
    from dagster_project.definitions import defs

    return defs.resolve_job_def("rotate_epoch")


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    found = InMemorySpanExporter()
    with telling(provider_with(SimpleSpanProcessor(found))):
        yield found


def run(job: dg.JobDefinition, instance: dg.DagsterInstance, tags: dict[str, str] | None = None) -> str:
    """By the executor that the definitions name, as a run that Dagster launches; its id."""
    with dg.execute_job(dg.reconstructable(job), instance, tags=tags, raise_on_error=False) as result:
        return result.run_id


def named(exporter: InMemorySpanExporter, start: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name.startswith(start)]


@pytest.mark.usefixtures("definitions")
def test_a_run_its_step_and_its_asset_are_told(
    instance: dg.DagsterInstance, module_database_url: str, exporter: InMemorySpanExporter
) -> None:
    append_all(module_database_url, [decision(1)])
    run_id = run(scorecards, instance)
    (whole,), (step,), (asset,) = (named(exporter, start) for start in ("run ", "step ", "asset "))
    assert f"{whole.context.trace_id:032x}" == run_id.replace("-", "")
    assert (whole.name, step.name, asset.name) == ("run scorecards", "step variant_scorecards", "asset variant_scorecards")
    assert dict(whole.attributes or {})["precedent.run_id"] == run_id
    for inner, outer in ((step, whole), (asset, step)):
        assert inner.parent is not None
        assert inner.parent.span_id == outer.context.span_id


@pytest.mark.usefixtures("definitions")
def test_a_step_that_fails_says_of_what_class_and_in_no_other_word(instance: dg.DagsterInstance, exporter: InMemorySpanExporter) -> None:
    run(rotate_epoch, instance)  # under a home without keys, which its error names
    (step,) = named(exporter, "step ")
    assert dict(step.attributes or {}) == {"error.type": "SettingsInvalid"}
    assert "root.key" not in "".join(span.to_json() for span in exporter.get_finished_spans())


@pytest.mark.usefixtures("definitions")
def test_a_run_tells_the_collector_that_the_settings_name(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("PRECEDENT_OTLP_ENDPOINT", collector.address)
        run(scorecards, instance)
        assert {"run scorecards", "step variant_scorecards"} <= collector.next_names()


@pytest.mark.long
@pytest.mark.usefixtures("definitions")
def test_each_model_of_one_step_of_dbt_is_told_with_its_own_time(
    instance: dg.DagsterInstance, module_database_url: str, exporter: InMemorySpanExporter
) -> None:
    append_all(module_database_url, [decision(2)])
    run(aggregator, instance, {"dagster/partition": DAY})
    (step,) = named(exporter, "step dbt_models")
    models = {span.name: span for span in named(exporter, "asset ")}
    assert len(models) > 5
    for model in models.values():
        assert model.parent is not None
        assert model.parent.span_id == step.context.span_id
        assert model.start_time is not None
        assert step.start_time is not None
        assert model.start_time > step.start_time
