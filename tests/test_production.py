"""Production refuses to start with what is for development, each time with a reason that says what to do about it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import pytest
from running_api import environment_of, free_ports
from starlette.testclient import TestClient

from api.app import create_app
from precedent.cli.doctor import _secrets
from precedent.cli.up import up
from precedent.errors import SettingsInvalid
from precedent.guard.access import create_token, revoke_token
from precedent.ledger.keyring import load_keyring
from precedent.ledger.signer_keys import create_signer_key
from precedent.production import DEVELOPMENT, require_production_files
from precedent.settings import Settings, load_settings, project_root

EVERYWHERE = "0.0.0.0"  # noqa: S104


@pytest.fixture(autouse=True)
def no_settings_of_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def production(**changes: object) -> Settings:
    """Settings with which production starts, but for what is changed."""
    right: dict[str, object] = {
        "mode": "production",
        "database_url": f"postgresql://api:{token_hex(16)}@db.example.com/precedent",
        "internal_job_token": token_hex(24),
        "keys_dir": Path("keys"),
        "home": Path("home"),
    }
    return load_settings(**(right | changes))


def prepare() -> Settings:
    """Production's settings, with its files."""
    settings = production()
    settings.home_dir.mkdir()
    load_keyring(settings.keys_path, "2026-11", create=True)
    create_signer_key(settings.keys_path)
    return settings


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"api_host": "::1"},
        {"api_host": "localhost"},
        {"api_host": EVERYWHERE, "tls_at_proxy": True},
        {"database_url": "postgresql://api@/precedent?host=/run/postgresql"},
        {"root_key": token_hex(32), "epoch_keys": f"epoch-2026-11={token_hex(32)}", "signer_key": f"{token_hex(32)},{token_hex(32)}"},
        {"epoch_keys": "python:keys:Kms"},
    ],
)
def test_production_starts_with_everything_it_needs(change: dict[str, object]) -> None:
    assert production(**change).mode == "production"


VALUES: list[tuple[dict[str, object], str]] = [
    ({"database_url": None}, "needs PRECEDENT_DATABASE_URL"),
    ({"database_url": "postgresql://USER:PASSWORD@HOST:5432/precedent"}, "PRECEDENT_DATABASE_URL is a demo secret"),
    ({"database_url": "postgresql://postgres:postgres@db.example.com/precedent"}, "PRECEDENT_DATABASE_URL is a demo secret"),
    ({"internal_job_token": None}, "needs a PRECEDENT_INTERNAL_JOB_TOKEN of 24"),
    ({"internal_job_token": "0123456789abcdef0123456"}, "24 characters or more"),
    ({"internal_job_token": "please-change-me-please-change-me"}, "PRECEDENT_INTERNAL_JOB_TOKEN is a demo secret"),
    ({"internal_job_token": "a" * 48}, "PRECEDENT_INTERNAL_JOB_TOKEN is a demo secret"),
    ({"keys_dir": None}, "needs PRECEDENT_KEYS_DIR"),
    ({"root_key": "00" * 32}, "PRECEDENT_ROOT_KEY is a demo secret"),
    ({"root_key": "<64 hexadecimal digits>"}, "PRECEDENT_ROOT_KEY is a demo secret"),
    ({"epoch_keys": f"epoch-2026-10={token_hex(32)} epoch-2026-11={'0123456789abcdef' * 4}"}, "PRECEDENT_EPOCH_KEYS is a demo secret"),
    ({"signer_key": f"{token_hex(32)},{'ab' * 32}"}, "PRECEDENT_SIGNER_KEY is a demo secret"),
    ({"slack_bot_token": "xoxb-your-token"}, "PRECEDENT_SLACK_BOT_TOKEN is a demo secret"),
    ({"openai_api_key": "placeholder"}, "PRECEDENT_OPENAI_API_KEY is a demo secret"),
    ({"debug": True}, "PRECEDENT_DEBUG"),
    ({"api_host": EVERYWHERE}, "PRECEDENT_TLS_AT_PROXY=true"),
    ({"api_host": "192.0.2.7"}, "PRECEDENT_TLS_AT_PROXY=true"),
    ({"api_host": "api.example.com"}, "PRECEDENT_TLS_AT_PROXY=true"),
]


@pytest.mark.parametrize(("change", "words"), VALUES, ids=[f"{'-'.join(change)} {words}" for change, words in VALUES])
def test_production_refuses_what_is_missing_or_unsafe_and_says_what_to_do(change: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsInvalid, match=words) as refused:
        production(**change)
    assert str(refused.value).count(";") == 0  # one reason, and no other beside it
    load_settings(**(change | {"mode": "development"}))  # where the same is let be


def test_every_reason_is_told_at_once() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(mode="production", debug=True, api_host=EVERYWHERE)
    for words in ("DATABASE_URL", "INTERNAL_JOB_TOKEN", "KEYS_DIR", "DEBUG", "TLS_AT_PROXY"):
        assert words in str(refused.value)


def _write(path: Path, mode: int, text: str = "") -> None:
    path.write_text(text)
    path.chmod(mode)


SECRET = "PRECEDENT_SLACK_BOT_TOKEN=xoxb-1\n"
FILES: list[tuple[str, Callable[[Settings], object], str]] = [
    ("a development token", lambda s: _write(s.home_dir / "dev-token", 0o600), "precedent token revoke development"),
    (
        "an internal token of development",
        lambda s: _write(s.home_dir / "internal-token", 0o600),
        "set another PRECEDENT_INTERNAL_JOB_TOKEN",
    ),
    ("a key that others may read", lambda s: (s.keys_path / "root.key").chmod(0o644), "root.key: chmod 600"),
    ("a key that the group may read", lambda s: (s.keys_path / "signer.key").chmod(0o640), "signer.key: chmod 600"),
    ("a folder of keys that others may write to", lambda s: s.keys_path.chmod(0o777), "keys: chmod 700"),
    ("secrets in a file that others may read", lambda _: _write(Path(".env"), 0o644, SECRET), "chmod 600"),
    ("the name that a host sets", lambda _: _write(Path(".env"), 0o644, "INTERNAL_JOB_TOKEN=a\n"), "chmod 600"),
]


@pytest.mark.parametrize(("spoil", "words"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_production_refuses_files_of_development_and_secrets_that_others_may_read(spoil: Callable[[Settings], object], words: str) -> None:
    settings = prepare()
    require_production_files(settings)
    spoil(settings)
    with pytest.raises(SettingsInvalid, match=words):
        require_production_files(settings)
    require_production_files(settings.model_copy(update={"mode": "development"}))
    assert "chmod 6" in (told := " ".join(one.fix for one in _secrets(settings))) or words in told


def test_a_file_of_settings_without_a_secret_may_be_read() -> None:
    _write(Path(".env"), 0o644, "PRECEDENT_LOG_LEVEL=info\nPRECEDENT_SLACK_BOT_TOKEN=\n")
    require_production_files(prepare())


def test_production_makes_no_keys_where_they_are_missing() -> None:
    with pytest.raises(SettingsInvalid, match=r"root\.key and epoch-YYYY-MM.key are needed"), TestClient(create_app(production())):
        pass
    assert not list(Path().rglob("*.key"))


def test_production_refuses_a_database_that_knows_the_development_token_and_serves_one_that_does_not(database_url: str) -> None:
    settings = production(**{"database_url": database_url, "keys_dir": prepare().keys_path})
    create_token(database_url, DEVELOPMENT, ["read"])
    with pytest.raises(SettingsInvalid, match="precedent token revoke development"), TestClient(create_app(settings)):
        pass
    revoke_token(database_url, DEVELOPMENT)
    with TestClient(create_app(settings), client=("127.0.0.1", 50000)) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/metrics").status_code == 401  # who calls from this machine may be a proxy, and speak for the world


def test_a_process_that_is_refused_ends_with_the_reason_and_no_trace_of_its_insides() -> None:
    settings = prepare()
    _write(settings.home_dir / "dev-token", 0o600)
    (port,) = free_ports(1)
    environment = environment_of(settings, port) | {"PYTHONPATH": str(project_root())}
    ended = subprocess.run([sys.executable, "-m", "api"], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("couldn't start the API: production refuses to start: ")
    assert "Traceback" not in ended.stderr


def test_production_is_not_served_by_what_reloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("precedent.cli.up.load_settings", production)
    with pytest.raises(SettingsInvalid, match="--reload"):
        up(reload=True)
