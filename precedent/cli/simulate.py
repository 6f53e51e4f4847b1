"""`precedent simulate`: the deals of a desk that never was, sent as a real log would be, with the time at which they happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import orjson
import typer

from precedent.cli.deal_desk import Deal, deals
from precedent.cli.loading.journal import Decided
from precedent.cli.loading.load import Load, Loaded, Target, load_id_of, loads_folder, report, target_of
from precedent.cli.loading.operation import Kind, Operation, operation
from precedent.cli.loading.spool import Spool
from precedent.cli.loading.tally import Rejected
from precedent.client import Unreachable
from precedent.clock import EPOCH, SystemClock, to_instant
from precedent.settings import Settings, load_settings

app = typer.Typer(add_completion=False)
SOURCE = "deal-desk-simulation"
NODE, ACTION = "finance", "approve_discount"


@app.command()
def simulate(
    seed: Annotated[int, typer.Option(min=0, help="equal seeds give equal deals")] = 7,
    days: Annotated[int, typer.Option(min=1, max=3660, help="how many days, up to yesterday")] = 30,
    rate: Annotated[float, typer.Option(min=0.1, max=100_000, help="requests a day, on average")] = 40,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the day after the last one; default: today")] = None,
    truth: Annotated[Path | None, typer.Option(help="write what is true of each decision to this NDJSON file")] = None,
    url: Annotated[str | None, typer.Option(envvar="PRECEDENT_URL", help="the API; default: what runs from this home")] = None,
    token: Annotated[
        str | None, typer.Option(envvar="PRECEDENT_TOKEN", help="needs the scope import; default: the development token")
    ] = None,
) -> None:
    """Load sample data: requests for discounts, decided by the active policy, and what came of them.

    The same command goes on after an interruption, without doubles. Exit 2 when the API is out of reach.
    """
    settings = load_settings()
    try:
        target = target_of(settings, url, token)
        run(settings, target, seed, days, rate, until.date() if until else None, truth)
    except Unreachable as error:
        typer.echo(f"{error}\ninterrupted: the same command goes on from here, without doubles", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


def run(
    settings: Settings, target: Target, seed: int, days: int, rate: float, until: date | None = None, truth: Path | None = None
) -> Loaded:
    """Send the deals of `days` days before `until` (default: today, in UTC), and tell the numbers.

    Raises: ClientError.
    """
    folder = loads_folder(settings)
    name = load_id_of("simulate", str(seed), str(days), str(rate), target.url)
    begun = folder / f"{name}.until"
    day = until or _begun_on(begun) or (EPOCH + timedelta(microseconds=SystemClock().now_us())).date()
    if until is None:
        begun.write_text(day.isoformat())
    load = Load(folder, load_id_of(name, day.isoformat()), target, NODE, _filler(seed, day, days, rate), is_resumed=True)
    loaded = load.run()
    if truth is not None:
        truth.write_bytes(b"".join(_truths(deals(seed, day, days, rate), loaded.decided)))
    begun.unlink(missing_ok=True)
    report(loaded, load.rejected_path(), "deal")
    return loaded


def _begun_on(path: Path) -> date | None:
    """The day of a load that was interrupted: going on tomorrow must not make other deals of it."""
    try:
        return date.fromisoformat(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _filler(seed: int, until: date, days: int, rate: float) -> Callable[[Spool, Callable[[int], None]], list[Rejected]]:
    end_us = (datetime.combine(until, time(), UTC) - EPOCH) // timedelta(microseconds=1)

    def fill(spool: Spool, on_progress: Callable[[int], None]) -> list[Rejected]:
        for deal in deals(seed, until, days, rate):
            for one in operations_of(deal, end_us):
                spool.add(one)
            on_progress(1)
        return []

    return fill


def operations_of(deal: Deal, end_us: int) -> Iterator[Operation]:
    """The request, the decision and, where it is known before `end_us`, what came of it: one end if approved, another if not."""
    at, correlation_id = to_instant(deal.asked_us), f"deal-{deal.number:06}"
    asked = {
        "deal_value": _decimal(deal.value_cents, 2),
        "base_margin_pct": _decimal(deal.margin_bp, 4),
        "requested_discount_pct": _decimal(deal.discount_bp, 4),
        "customer_tier": deal.customer.tier,
    }
    shared = {"as_of": at, "correlation_id": correlation_id}
    event = {"type": "DiscountRequested", "actor": f"rep-{deal.number % 12 + 1:02}", "ts": at, "source": SOURCE, **shared, "payload": asked}
    yield operation(Kind.EVENT, deal.number, deal.asked_us, event)
    facts = {**asked, "customer_id": deal.customer.id}
    yield operation(Kind.DECISION, deal.number, deal.asked_us, {"action": ACTION, "facts": facts, **shared})
    if deal.closed_us is not None and deal.closed_us < end_us:
        closed = to_instant(deal.closed_us)
        for kind, is_approved in ((Kind.OUTCOME_IF_APPROVED, True), (Kind.OUTCOME_IF_NOT, False)):
            margin = _decimal(deal.final_margin_bp(is_approved=is_approved), 4)
            metrics = {"won": deal.is_won(is_approved=is_approved), "margin": margin, "time_to_close_days": deal.days_to_close()}
            yield operation(kind, deal.number, deal.closed_us, {"metrics": metrics, "observed_at": closed, "as_of": closed})


def _decimal(units: int, decimals: int) -> orjson.Fragment:
    """The number `units` / 10^`decimals`, exactly."""
    sign, digits = ("-" if units < 0 else ""), str(abs(units)).rjust(decimals + 1, "0")
    return orjson.Fragment(f"{sign}{digits[:-decimals]}.{digits[-decimals:]}")


def _truths(made: Iterator[Deal], decided: Decided) -> Iterator[bytes]:
    for deal in made:
        found = decided.get(deal.number)
        if found is not None:
            yield orjson.dumps(
                {
                    "decision_id": found[0],
                    "is_approved": found[1],
                    "correlation_id": f"deal-{deal.number:06}",
                    "asked_at": to_instant(deal.asked_us),
                    "customer_id": deal.customer.id,
                    "customer_pull": deal.customer.pull,
                    "win_if_approved": deal.win_if_approved,
                    "win_if_not": deal.win_if_not,
                    "has_outcome": deal.closed_us is not None,
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )
