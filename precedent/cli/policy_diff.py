"""`precedent policy diff A B`: what changed in the text, where any input is answered otherwise, and who of the recorded would flip."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from precedent.cli.windows import Last, Processes, Span, named_file, progressing, read_source, source_of, window_of
from precedent.db.embedded import database_url
from precedent.errors import DatabaseUnavailable
from precedent.learning.blast import DEFAULT_LAST, flip_report
from precedent.learning.flip_report import FlipReport
from precedent.learning.flips_svg import flips_svg
from precedent.learning.replay_worker import Source, Window
from precedent.policy.compile import CompiledPolicy
from precedent.settings import Settings, load_settings

if TYPE_CHECKING:
    from precedent.policy.analyse.difference import Difference

NO_SOLVER = "not analysed: the extra 'analyse' is not installed (pip install precedent[analyse])"
SHOWN_REGIONS = 20


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """All three; `regions` and `flips` are words where they could not be had."""

    before: str
    after: str
    text: tuple[str, ...]
    regions: Sequence[Difference] | str
    flips: FlipReport | str

    def as_dict(self) -> dict[str, Any]:
        regions: Any = {"why_not": self.regions} if isinstance(self.regions, str) else [_as_dict(one) for one in self.regions]
        return {
            "before": self.before,
            "after": self.after,
            "text": "\n".join(self.text),
            "regions": regions,
            "recorded": {"why_not": self.flips} if isinstance(self.flips, str) else self.flips.as_dict(),
        }

    def __str__(self) -> str:
        semantic = [self.regions] if isinstance(self.regions, str) else [line for one in self.regions for line in _region_lines(one)]
        return "\n".join(
            [
                f"== text: {self.before} → {self.after}",
                *(self.text or ["the same"]),
                "",
                "== answers: where any input is answered otherwise",
                *semantic,
                "",
                "== recorded decisions: who would flip",
                str(self.flips),
            ]
        )


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="name@version, a name for its active version, or a file")],
    after: Annotated[str, typer.Argument(metavar="B", help="likewise")],
    last: Last = None,
    window: Span = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    svg: Annotated[Path | None, typer.Option(dir_okay=False, help="also draw the flips into this file")] = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="how many differing decisions to show")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="of the solver, for each question")] = 5.0,
    processes: Processes = None,
) -> None:
    """Compare two versions: text, answers by region with a witness each, and recorded decisions (the last 1,000 unless told)."""
    settings = load_settings()
    chosen = window_of(last, None, None, window)
    if chosen == Window():
        chosen = Window(last=DEFAULT_LAST)
    one, two = _source(settings, before), _source(settings, after)
    compiled_one, compiled_two = one.compile(), two.compile()
    found = PolicyDiff(
        _name(one, compiled_one),
        _name(two, compiled_two),
        tuple(_text_diff(one, two)),
        _regions(compiled_one, compiled_two, seconds),
        _flips(settings, one, two, chosen, limit, processes),
    )
    typer.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if as_json else str(found))
    if svg is None:
        return
    if isinstance(found.flips, str):
        typer.echo(f"{svg} was not drawn: {found.flips}", err=True)
        raise typer.Exit(1)
    svg.write_text(flips_svg(found.flips), encoding="utf-8")
    typer.echo(f"drawn into {svg}", err=True)


def _source(settings: Settings, ref_or_file: str) -> Source:
    """Two files are compared without a database, too."""
    return read_source(ref_or_file) if named_file(ref_or_file) else source_of(database_url(settings), settings, ref_or_file)


def _name(source: Source, policy: CompiledPolicy) -> str:
    ref = policy.document.ref
    return ref if source.name == ref else f"{ref} ({source.name})"


def _text_diff(before: Source, after: Source) -> Iterator[str]:
    lines = unified_diff(before.text.splitlines(), after.text.splitlines(), before.name, after.name, lineterm="")
    return (line.rstrip() for line in lines)


def _regions(before: CompiledPolicy, after: CompiledPolicy, seconds: float) -> Sequence[Difference] | str:
    try:
        from precedent.policy.analyse.difference import semantic_difference
    except ImportError:
        return NO_SOLVER
    actions = dict.fromkeys([*before.actions, *after.actions])
    return [semantic_difference(before, after, action, seconds) for action in actions]


def _flips(settings: Settings, before: Source, after: Source, window: Window, limit: int, processes: int | None) -> FlipReport | str:
    try:
        with progressing() as on_progress:
            url = database_url(settings)
            return flip_report(url, settings.chain, after, window, before=before, limit=limit, processes=processes, on_progress=on_progress)
    except DatabaseUnavailable as error:
        return f"not compared: {error}"


def _region_lines(found: Difference) -> Iterator[str]:
    yield f"{found.action}: {_count(len(found.regions), is_all=not found.open)}"
    for region in found.regions[:SHOWN_REGIONS]:
        yield f"  {region.before} → {region.after}"
        yield f"    where {region.description}"
        yield f"    such as {region.witness}"
    if len(found.regions) > SHOWN_REGIONS:
        yield f"  and {len(found.regions) - SHOWN_REGIONS} more (--json shows all)"
    for fact in found.contract:
        yield f"  facts: {fact}"
    for unknown in found.open:
        yield f"  not known: {unknown}"


def _count(regions: int, *, is_all: bool) -> str:
    if not regions:
        return "the answers are the same everywhere" if is_all else "no region found in which the answers differ"
    found = "one region in which the answers differ" if regions == 1 else f"{regions} regions in which the answers differ"
    return f"{found}, and nowhere else" if is_all else found


def _as_dict(found: Difference) -> dict[str, Any]:
    return {
        "action": found.action,
        "regions": [asdict(region) for region in found.regions],
        "open": list(found.open),
        "contract": list(found.contract),
    }
