"""`--last`, `--from`, `--to` and `--window`: which recorded decisions a command looks at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from precedent.clock import EPOCH, SystemClock, from_instant
from precedent.errors import FieldInvalid
from precedent.learning import replay_run
from precedent.learning.replay_run import find_source
from precedent.learning.replay_worker import Source, Window
from precedent.policy.files import SUFFIXES, read_file
from precedent.settings import Settings

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SPAN = re.compile(r"([1-9][0-9]{0,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}

Last = Annotated[int | None, typer.Option(min=1, help="the last so many decisions")]
From = Annotated[str | None, typer.Option("--from", help="decided from this day (UTC) or instant on")]
To = Annotated[str | None, typer.Option("--to", help="decided up to this day, included, or before this instant")]
Span = Annotated[str | None, typer.Option("--window", help="decided within this time until now: 30d, 12h, 4w")]
Processes = Annotated[int | None, typer.Option(min=1, help="how many work side by side; by default as many as it is worth")]


def window_of(last: int | None, first: str | None, to: str | None, span: str | None = None) -> Window:
    """The window that the options name; all decisions where they name none.

    Raises: FieldInvalid.
    """
    if sum((last is not None, first is not None or to is not None, span is not None)) > 1:
        raise FieldInvalid("name one of --last, --from with --to, and --window")
    if last is not None:
        return Window(last=last)
    if span is not None:
        match = _SPAN.fullmatch(span)
        if match is None:
            raise FieldInvalid(f"--window is a number of hours, days or weeks such as 12h, 30d, 4w, not '{span}'")
        now_us = SystemClock().now_us()
        return Window(from_us=max(now_us - int(match[1]) * _HOURS[match[2]] * 3_600_000_000, 0), to_us=now_us)
    from_us = None if first is None else _instant_us("--from", first)
    to_us = None if to is None else _instant_us("--to", to, is_end=True)
    if from_us is not None and to_us is not None and from_us >= to_us:
        raise FieldInvalid("--from lies after --to")
    return Window(from_us=from_us, to_us=to_us)


def _instant_us(option: str, text: str, *, is_end: bool = False) -> int:
    try:
        if _DAY.fullmatch(text):
            day = datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=is_end)
            return (day - EPOCH) // timedelta(microseconds=1)
        return from_instant(text)
    except ValueError as error:
        raise FieldInvalid(f"{option} is a day such as 2026-11-22, or an instant with its zone, not '{text[:64]}'") from error


def named_file(ref_or_file: str) -> bool:
    """Whether a file is meant: references have no such endings."""
    return Path(ref_or_file).suffix in SUFFIXES


def read_source(file: str) -> Source:
    """A policy from a file, published or not.

    Raises: FieldInvalid, PolicyInvalid.
    """
    try:
        return Source(read_file(Path(file)), file)
    except OSError as error:
        raise FieldInvalid(f"couldn't read {file}: {error.strerror}") from error


def source_of(url: str, settings: Settings, ref_or_file: str) -> Source:
    """A policy from a file, else from the registry.

    Raises: FieldInvalid, PolicyNotFound, PolicyInvalid, DatabaseUnavailable.
    """
    return read_source(ref_or_file) if named_file(ref_or_file) else find_source(url, settings.chain, ref_or_file)


@contextmanager
def progressing() -> Iterator[replay_run.Progress]:
    """Entries done, on stderr; silent where nobody watches."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("entries", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
