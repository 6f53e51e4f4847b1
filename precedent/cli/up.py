"""`precedent up`: everything on one machine, in the foreground, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Annotated, NoReturn

import typer

from precedent.cli import records
from precedent.cli.session import Choice, Session, tell
from precedent.clock import SystemClock
from precedent.errors import SettingsInvalid
from precedent.settings import Settings, load_settings

app = typer.Typer(add_completion=False)

READY_FD = "PRECEDENT_READY_FD"


class StopRequested(BaseException):
    """A signal asked for the end; no `except Exception` on the way may swallow it."""


@app.command()
def up(
    dagster: Annotated[bool, typer.Option(help="the pipeline's pages, schedules and runs")] = True,
    docs: Annotated[bool, typer.Option(help="the dbt docs")] = True,
    sample: Annotated[bool, typer.Option(help="load sample data into a fresh home")] = True,
    detach: Annotated[bool, typer.Option("--detach", help="return when everything is ready; `precedent down` stops it")] = False,
    reload: Annotated[bool, typer.Option("--reload", help="restart the API when its code changes, and show its log here")] = False,
) -> None:
    """Start PostgreSQL, the API, Dagster and the dbt docs, and keep them running until Ctrl-C."""
    if detach:
        raise typer.Exit(_start_detached([argument for argument in sys.argv[2:] if argument != "--detach"]))
    settings = load_settings()
    if reload and settings.mode == "production":
        raise SettingsInvalid("production refuses to start: --reload would serve whatever is being written: start without it")
    run(settings, Choice(dagster, docs, sample, reload))


def run(settings: Settings, choice: Choice) -> None:
    """Start everything and stay until a signal comes; nothing of it runs when this returns.

    Raises: AlreadyRunning, PortTaken, StartFailed.
    """
    home = settings.home_dir
    home.mkdir(parents=True, exist_ok=True)
    ready_fd = os.environ.pop(READY_FD, None)
    with records.exclusive(home), _signals_raise():
        session = Session(settings, choice, SystemClock())
        try:
            session.start()
            session.run_until(session.is_settled)
            session.announce_settled()
            if ready_fd is not None:
                _let_go_of_terminal(session, int(ready_fd))
            session.run_until(lambda: False)
        except StopRequested as request:
            tell(f"{request}: stopping …")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            session.stop()
            tell("stopped")


def _start_detached(arguments: list[str]) -> int:
    """Start `precedent up` in a session of its own; its exit code if it ends before all is ready, 0 when it is."""
    read_fd, write_fd = os.pipe()
    argv = [sys.executable, "-m", "precedent.cli.main", "up", *arguments]
    environment = {**os.environ, READY_FD: str(write_fd)}
    child = subprocess.Popen(argv, env=environment, pass_fds=(write_fd,), start_new_session=True, stdin=subprocess.DEVNULL)
    os.close(write_fd)
    try:
        return 0 if os.read(read_fd, 16) else child.wait()
    except KeyboardInterrupt:
        child.terminate()
        return child.wait()
    finally:
        os.close(read_fd)


def _let_go_of_terminal(session: Session, ready_fd: int) -> None:
    """From here on what is told goes to logs/up.log; then say to who waits that all is ready."""
    with session.open_own_log() as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.write(ready_fd, b"ready")
    os.close(ready_fd)


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise StopRequested; one that was ignored when we were started (nohup) stays ignored."""

    def request_stop(number: int, frame: FrameType | None) -> NoReturn:
        raise StopRequested(signal.Signals(number).name)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, request_stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
