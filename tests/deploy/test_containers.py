from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from secrets import token_hex
from typing import Any

import psycopg
import pytest
import yaml

from precedent.adapters.costs import read_book
from precedent.db.migrate import check
from precedent.settings import Settings, load_settings, project_root

DEPLOY = project_root() / "deploy"
# Set by the image or the host for others to read; no setting of ours.
NO_SETTINGS = {"PRECEDENT_ROOT", "PRECEDENT_IMAGE_TAG"}
PASSWORD, TOKEN = token_hex(24), token_hex(24)
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:?[-?])?([^}]*)\}")


def compose() -> dict[str, Any]:
    held: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return held


def ours() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in compose()["services"].items() if name != "postgres"}


def copied() -> list[str]:
    """What the Dockerfile copies, last words (the targets) left out."""
    lines = re.findall(r"^COPY (.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_every_precedent_variable_is_a_setting() -> None:
    known = {f"PRECEDENT_{name.upper()}" for name in Settings.model_fields} | NO_SETTINGS
    for file in ("compose.yaml", "Dockerfile"):
        named = set(re.findall(r"PRECEDENT_[A-Z_]+", (DEPLOY / file).read_text()))
        assert named
        assert named <= known, file


@pytest.mark.parametrize("name", sorted(ours()))
def test_production_accepts_what_a_service_is_given(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"POSTGRES_PASSWORD": PASSWORD, "INTERNAL_JOB_TOKEN": TOKEN}
    for variable, text in ours()[name]["environment"].items():
        monkeypatch.setenv(
            variable, VARIABLE.sub(lambda found: given.get(found[1], found[3] if found[2] in {"-", ":-"} else ""), str(text))
        )
    settings = load_settings()
    assert settings.mode == "production"
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == f"postgresql://postgres:{PASSWORD}@postgres:5432/precedent"


def test_no_secret_has_a_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for name, operator, default in VARIABLE.findall(text):
        if re.search(r"PASSWORD|TOKEN|KEY|SECRET", name):
            assert operator in {":?", ""} or default == "", name
    for required in ("POSTGRES_PASSWORD", "INTERNAL_JOB_TOKEN"):
        assert f"${{{required}:?" in text
    for service in compose()["services"].values():
        for variable, value in service["environment"].items():
            if re.search(r"PASSWORD|TOKEN|SECRET|API_KEY", variable):
                assert str(value).startswith("${"), variable


def test_every_published_port_is_on_loopback() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_services_and_volumes_that_are_named_exist() -> None:
    held = compose()
    for service in held["services"].values():
        assert set(service.get("depends_on", {})) <= set(held["services"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in held["volumes"]


def test_only_the_api_and_the_preparation_see_the_keys() -> None:
    holders = {name: volume for name, service in ours().items() for volume in service["volumes"] if volume.startswith("keys:")}
    assert holders == {"api": "keys:/keys:ro", "prepare": "keys:/keys"}


def test_the_example_of_what_models_cost_is_one() -> None:
    example = read_book(DEPLOY / "config" / "model-costs.example.yaml")
    assert (example.currency, list(example.budgets)) == ("EUR", ["everything"])


def test_the_image_copies_only_what_exists_and_its_context_holds_it() -> None:
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied()) == allowed
    for source in copied():
        assert (project_root() / source).exists(), source


def test_the_image_runs_the_api_as_a_user_without_rights() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER precedent"]
    assert lines[-1] == 'CMD ["python", "-m", "api"]'
    assert "--require-hashes" in "".join(lines)


def prepare(url: str, folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": "",
        "PYTHONPATH": str(project_root()),
        "PRECEDENT_MODE": "production",
        "PRECEDENT_DATABASE_URL": url,
        "PRECEDENT_INTERNAL_JOB_TOKEN": TOKEN,
        "PRECEDENT_KEYS_DIR": str(folder / "keys"),
    }
    argv = [sys.executable, str(DEPLOY / "prepare.py"), *arguments]
    return subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_preparing_migrates_and_makes_keys_once(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url) as owner:
        owner.execute("drop schema if exists dagster cascade")
    assert prepare(database_url, tmp_path) == "the database is ready\n"
    assert not (tmp_path / "keys").exists()
    assert "made keys" in prepare(database_url, tmp_path, "--create-keys")
    keys = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    assert {"root.key", "signer.key"} <= keys.keys()
    assert "none was made" in prepare(database_url, tmp_path, "--create-keys")
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == keys
    check(database_url)
    with psycopg.connect(database_url) as owner:
        assert owner.execute("select 1 from pg_namespace where nspname = 'dagster'").fetchone()
