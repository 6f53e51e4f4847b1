"""The settings: what each reads, and that the example names all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from dotenv import dotenv_values

from precedent.errors import SettingsInvalid
from precedent.settings import Settings, load_settings, project_root


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("PRECEDENT_", "OPENAI_", "SLACK_")) or name in {"DATABASE_URL", "PORT", "INTERNAL_JOB_TOKEN"}:
            monkeypatch.delenv(name)


def example() -> dict[str, str | None]:
    return dotenv_values(project_root() / ".env.example")


def test_the_example_names_every_setting_and_no_other() -> None:
    assert set(example()) == {f"PRECEDENT_{name.upper()}" for name in Settings.model_fields}


def test_the_example_as_it_is_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in example().items():
        monkeypatch.setenv(name, value or "")
    assert load_settings() == Settings()
    assert load_settings().model_dump() == {name: field.default for name, field in Settings.model_fields.items()}


def test_the_example_holds_no_secret() -> None:
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert secret == {"database_url", "internal_job_token", "openai_api_key", "slack_bot_token", "root_key", "epoch_keys", "signer_key"}
    assert {example()[f"PRECEDENT_{name.upper()}"] for name in secret} == {""}


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("DATABASE_URL", "database_url", "postgresql://x@127.0.0.1/y"),
        ("INTERNAL_JOB_TOKEN", "internal_job_token", "0123456789"),
        ("OPENAI_API_KEY", "openai_api_key", "placeholder-key"),
        ("SLACK_BOT_TOKEN", "slack_bot_token", "placeholder-token"),
    ],
)
def test_names_that_hosts_set_are_read_and_ours_go_before(monkeypatch: pytest.MonkeyPatch, name: str, field: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load_settings(), field).get_secret_value() == value
    monkeypatch.setenv(f"PRECEDENT_{field.upper()}", "ours")
    assert getattr(load_settings(), field).get_secret_value() == "ours"


def test_the_port_that_a_host_sets_is_the_ports_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "4321")
    assert load_settings().api_port == 4321


def test_an_unknown_time_zone_is_refused_by_name() -> None:
    with pytest.raises(SettingsInvalid, match="no such time zone: Mars/Olympus"):
        load_settings(time_zone="Mars/Olympus")


def test_secrets_don_t_show_in_a_printed_settings_object() -> None:
    assert "0123456789abcdef01234567" not in repr(load_settings(internal_job_token="0123456789abcdef01234567"))
