"""The job that ends an epoch, on a real database: keys of before are wrapped anew and the old key is gone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import sample_entries as sample

from precedent.ledger.entry import NewSubject
from precedent.ledger.keyring import load_keyring


def test_the_job_ends_an_epoch_that_is_over(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = load_keyring(tmp_path / "keys", "2011-09", create=True)
    monkeypatch.setenv("PRECEDENT_KEYS_DIR", str(tmp_path / "keys"))
    subject = NewSubject(sample.CLOCK.new_id(), bytes(32), *keyring.wrap(bytes(32)))
    sample.append_all(module_database_url, [sample.event(1, subject=subject)])
    schedule, repository = definitions.resolve_schedule_def("rotate_epoch_monthly"), definitions.get_repository_def()
    at = datetime(2026, 12, 1, 6, 30, tzinfo=UTC)
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=at, repository_def=repository) as context:
        assert [one.run_key for one in schedule.evaluate_tick(context).run_requests or ()] == ["2026-12-01"]
    assert definitions.resolve_job_def("rotate_epoch").execute_in_process(instance=instance).success
    keyring.epochs.refresh()
    assert len(keyring.epochs.names()) == 1
    assert keyring.current_epoch > "epoch-2011-09"
    with psycopg.connect(module_database_url) as connection:
        assert connection.execute("select epoch_key from ledger.subject_key").fetchall() == [(keyring.current_epoch,)]
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=at, repository_def=repository) as context:
        assert schedule.evaluate_tick(context).skip_message == "subjects' keys are under this month's key, or there are none"
