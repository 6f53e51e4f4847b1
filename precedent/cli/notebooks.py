"""`precedent notebooks`: JupyterLab on the notebooks, for this machine alone, with a database that it reads and does not write."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from precedent.db.embedded import database_url
from precedent.db.engine import ANALYST, connect, with_options
from precedent.errors import SettingsInvalid
from precedent.settings import Settings, load_settings, project_root

app = typer.Typer(add_completion=False)

LOOPBACK = "127.0.0.1"
# Nothing asks another company's server: no look for a newer release, no news, no list of extensions.
QUIET = (
    "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
    "--LabApp.news_url=",
    "--LabApp.extension_manager=readonly",
)


@app.command()
def notebooks(port: Annotated[int, typer.Option(min=1, max=65535, help="on the loopback address")] = 8888) -> None:
    """Serve the notebooks until Ctrl-C; the address that is printed holds the token to open them by."""
    settings = load_settings()
    if importlib.util.find_spec("jupyterlab") is None:
        raise SettingsInvalid("JupyterLab is not installed: it comes with the extra `dev`")
    environment = os.environ | read_only(settings)
    with connect(environment["PRECEDENT_DATABASE_URL"], ANALYST):
        pass  # no database, no notebooks: said here, not by every cell
    command = [sys.executable, "-m", "jupyterlab", *arguments(port, project_root() / "notebooks")]
    os.execve(sys.executable, command, environment)  # noqa: S606, the interpreter that runs this


def read_only(settings: Settings) -> Mapping[str, str]:
    """The environment of the kernels: sessions have the rights of analysts and begin no transaction that writes.

    It guards against a slip, not against whoever sits at the machine: who owns the database may take another role.
    """
    home = settings.home_dir / "jupyter"
    url = with_options(database_url(settings), role=ANALYST, default_transaction_read_only="on")
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    return {"PRECEDENT_DATABASE_URL": url, "IPYTHONDIR": str(home / "ipython"), "JUPYTER_PLATFORM_DIRS": "1", **folders}


def arguments(port: int, folder: Path) -> list[str]:
    """Of JupyterLab: the loopback address, one port or none, no browser of its own."""
    found = [f"--ServerApp.ip={LOOPBACK}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.open_browser=False"]
    found += [f"--ServerApp.root_dir={folder}", "--ServerApp.allow_remote_access=False", *QUIET]
    # As root Jupyter asks to be told that it was meant.
    return [*found, "--allow-root"] if os.geteuid() == 0 else found
