"""`precedent down`: stops what runs from a home, also what a killed supervisor left behind."""

from __future__ import annotations

import signal

import psutil
import typer

from precedent.cli import records
from precedent.db.embedded import stop_running
from precedent.settings import Settings, load_settings

app = typer.Typer(add_completion=False)

# Five programs that each use up their grace, and PostgreSQL's last checkpoint.
PATIENCE_SECONDS = 120.0


@app.command()
def down() -> None:
    """Stop everything that runs from this home; nothing to stop is no error."""
    for line in stop_everything(load_settings()):
        typer.echo(line)


def stop_everything(settings: Settings) -> list[str]:
    """Ask the supervisor to stop and wait for it; then end leftovers. What was done, line by line."""
    home = settings.home_dir
    if not home.exists():
        return [f"nothing runs from {home}"]
    done = []
    if (supervisor := records.supervisor_of(home)) is not None:
        process = psutil.Process(supervisor.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_SECONDS)
            done.append("stopped")
        except psutil.TimeoutExpired:
            process.kill()
            process.wait()
            done.append(f"the supervisor (process {supervisor.pid}) did not stop within {PATIENCE_SECONDS:.0f} s and was killed")
    with records.exclusive(home):
        done += [f"ended {name}, a leftover" for name in records.end_leftovers(home)]
        if stop_running(home):
            done.append("stopped an embedded PostgreSQL that was left running")
        records.remove(home, records.SUPERVISOR)
    return done or [f"nothing runs from {home}"]
