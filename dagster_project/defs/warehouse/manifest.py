"""The dbt project and its manifest, parsed once for each state of the sources, whichever process comes first.

Parsing takes some four seconds; webserver, daemon and every run load these definitions. A clean checkout needs no step before.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from dagster_dbt import DbtProject

from precedent.settings import Settings, project_root

SOURCE_FOLDERS = ("models", "macros", "tests", "docs")
SOURCE_FILES = ("dbt_project.yml", "profiles.yml")
DIGEST = "manifest.sha256"


def dbt_executable() -> Path:
    """The `dbt` beside this interpreter: a virtual environment need not be activated."""
    return Path(sys.executable).with_name("dbt")


def prepare_project(settings: Settings) -> DbtProject:
    """The project with a manifest of its present sources under `home`/dbt/target.

    Raises: subprocess.CalledProcessError where dbt cannot parse it; its words are on stderr.
    """
    folder = project_root() / "dbt"
    target = settings.home_dir / "dbt" / "target"
    target.mkdir(parents=True, exist_ok=True)
    with (target / "parse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = _digest_of(folder)
        stamp = target / DIGEST
        if not (target / "manifest.json").exists() or not stamp.exists() or stamp.read_text() != digest:
            _parse(folder, target)
            # Last: if we crash before, the next process parses again.
            stamp.write_text(digest)
    return DbtProject(folder, target_path=target, profiles_dir=folder)


def code_of(project: DbtProject) -> str:
    """The digest of the sources that the manifest was made of."""
    return (project.target_path / DIGEST).read_text()


def _parse(folder: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        where = ["--project-dir", str(folder), "--profiles-dir", str(folder)]
        command = [str(dbt_executable()), "--quiet", "--no-use-colors", "parse", *where]
        environment = os.environ | {"DBT_TARGET_PATH": scratch, "DBT_LOG_PATH": scratch, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        subprocess.run(command, check=True, env=environment, cwd=folder)
        # Whole or not at all: others may be reading the one before.
        for name in ("partial_parse.msgpack", "manifest.json"):
            (Path(scratch) / name).replace(target / name)


def _digest_of(folder: Path) -> str:
    digest = hashlib.sha256(version("dbt-core").encode())
    paths = [folder / name for name in SOURCE_FILES]
    for name in SOURCE_FOLDERS:
        paths += sorted(path for path in (folder / name).rglob("*") if path.is_file())
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
