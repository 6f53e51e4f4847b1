"""A whole load: from where the API is to the report; what a person sees of `import` and `simulate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from precedent.cli import records
from precedent.cli.loading.delivery import Delivery
from precedent.cli.loading.journal import Decided, Journal
from precedent.cli.loading.spool import Spool
from precedent.cli.loading.tally import Rejected, Tally
from precedent.cli.secrets import read_secret
from precedent.client import Client
from precedent.clock import SystemClock
from precedent.errors import PrecedentError
from precedent.production import DEVELOPMENT_TOKEN
from precedent.settings import Settings

SHOWN_REJECTIONS = 20


class TokenMissing(PrecedentError):
    """Nothing says who is loading."""

    code = "TOKEN_MISSING"


@dataclass(frozen=True, slots=True)
class Target:
    """The API that is loaded into."""

    url: str
    token: str


def target_of(settings: Settings, url: str | None, token: str | None, scope: str = "import") -> Target:
    """What was given, else what runs from this home and its development token.

    Raises: TokenMissing.
    """
    supervisor = records.supervisor_of(settings.home_dir)
    at = url or (supervisor.addresses.get("api_url") if supervisor else None) or settings.api_url
    secret = token or read_secret(settings.home_dir / DEVELOPMENT_TOKEN)
    if secret is None:
        raise TokenMissing(f"no token: give --token or PRECEDENT_TOKEN, with the scope {scope} (`precedent token create`)")
    return Target(at.rstrip("/"), secret)


def load_id_of(*parts: str) -> str:
    """The name of a load, for ever: equal parts give equal keys."""
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def loads_folder(settings: Settings) -> Path:
    """Where journals are; made where absent."""
    folder = settings.home_dir / "imports"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a load, over all its runs; `seconds` is this run's."""

    tally: Tally
    rejected: list[Rejected]
    decided: Decided
    seconds: float
    sent: int


@dataclass(frozen=True, slots=True)
class Load:
    """One load. `fill` puts the operations on the spool and returns the rows it couldn't use."""

    folder: Path
    load_id: str
    target: Target
    node: str | None
    fill: Callable[[Spool, Callable[[int], None]], list[Rejected]]
    is_resumed: bool = False
    patience_seconds: float = 30.0

    def run(self) -> Loaded:
        """Raises: ClientError; LoadRunning; whatever `fill` raises, before anything is sent."""
        clock = SystemClock()
        began_ns = clock.monotonic_ns()
        with (
            Journal(self.folder / f"{self.load_id}.ndjson") as journal,
            Spool(self.folder) as spool,
            Client(self.target.url, self.target.token, patience_seconds=self.patience_seconds) as client,
            _progress() as bar,
        ):
            reading = bar.add_task("reading", total=None)
            unused = self.fill(spool, lambda count: bar.advance(reading, count))
            bar.remove_task(reading)
            sending = bar.add_task("sending", total=len(spool))
            delivery = Delivery(client, self.load_id, self.node, spool, journal, lambda count: bar.advance(sending, count))
            tally, refused = delivery.run(with_answered=not self.is_resumed)
            seconds = (clock.monotonic_ns() - began_ns) / 1e9
            return Loaded(tally, sorted([*unused, *refused], key=lambda one: one.row), journal.decided, seconds, delivery.sent)

    def rejected_path(self) -> Path:
        return self.folder / f"{self.load_id}.rejected.ndjson"


class _Rate(ProgressColumn):
    """Operations a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def _progress() -> Progress:
    """On the error stream, so that the report alone is the output; silent where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def report(loaded: Loaded, path: Path, noun: str) -> None:
    """Tell the numbers, the first rejected rows, and where all of them are; `noun` is what a row's number counts."""
    for line in loaded.tally.lines():
        typer.echo(line)
    rate = f", {loaded.sent / loaded.seconds:,.0f} a second" if loaded.seconds else ""
    typer.echo(f"sent       {loaded.sent:>9,}  in {loaded.seconds:.1f} s{rate}")
    _write_rejected(loaded.rejected, path)
    typer.echo(f"rejected   {len(loaded.rejected):>9,}" + (f"  all in {path}" if loaded.rejected else ""))
    for one in loaded.rejected[:SHOWN_REJECTIONS]:
        typer.echo(f"  {noun} {one.row}, {one.step}: {one.message} ({one.code})")


def _write_rejected(rejected: Iterable[Rejected], path: Path) -> None:
    lines = [orjson.dumps(one.plain()) + b"\n" for one in rejected]
    if lines:
        path.write_bytes(b"".join(lines))
    else:
        path.unlink(missing_ok=True)
