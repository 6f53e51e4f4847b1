"""The blast radius of a policy: what it would have decided otherwise, before it is activated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from precedent.errors import PolicyNotFound
from precedent.learning.flip_report import FlipReport
from precedent.learning.replay_run import Progress, compare, find_source
from precedent.learning.replay_worker import Source, Window
from precedent.settings import Settings

DEFAULT_LAST = 1_000


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """Of one version, beside the active one; where none of its name is, beside what was decided."""

    report: FlipReport

    @property
    def flips(self) -> int:
        return self.report.tally.flips

    def as_dict(self) -> dict[str, Any]:
        return self.report.as_dict()

    def __str__(self) -> str:
        return f"blast radius: {self.report.summary()}"


def blast_radius(url: str, settings: Settings, ref: str, last: int = DEFAULT_LAST) -> BlastRadius:
    """What activating `ref` would have changed among the last so many decisions of its actions.

    Raises: PolicyNotFound, PolicyInvalid, DatabaseUnavailable.
    """
    name = ref.partition("@")[0]
    candidate = find_source(url, settings.chain, ref)
    try:
        active: Source | None = find_source(url, settings.chain, name)
    except PolicyNotFound:
        active = None
    return BlastRadius(flip_report(url, settings.chain, candidate, Window(last=last), before=active, limit=0))


def flip_report(
    url: str,
    chain: str,
    candidate: Source,
    window: Window,
    *,
    before: Source | None = None,
    limit: int = 20,
    processes: int | None = None,
    on_progress: Progress | None = None,
) -> FlipReport:
    """What `candidate` decides otherwise than `before` does or, without it, than was decided.

    Raises: PolicyInvalid, DatabaseUnavailable, SettingsInvalid.
    """
    document = candidate.compile().document
    done = compare(url, chain, candidate, window, baseline=before, limit=limit, processes=processes, on_progress=on_progress)
    return FlipReport(
        candidate=document.ref,
        digest_hex=document.digest_hex,
        before=before.compile().document.ref if before else None,
        window=str(window),
        head=done.head,
        tally=done.outcome,
        actions=document.actions,
    )
