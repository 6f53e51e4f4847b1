"""How fast recorded decisions are derived again, and decided by another policy: one process, its backend beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time

from precedent.learning import replay_run
from precedent.learning.flips import Tally
from precedent.learning.replay_run import Done, Outcome
from precedent.learning.replay_worker import Source, Verified, Window
from precedent.settings import project_root
from tests.bench.singles import FINANCE

LAST = 20_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """Decisions by second of the clock, and by second of the process's own time on its core."""

    decisions: int
    is_equal: bool
    verified_per_second: float
    verified_per_cpu_second: float
    compared_per_second: float
    compared_per_cpu_second: float


def replay_rate(url: str, last: int = LAST) -> Replayed:
    """The newest decisions of `main`: each derived under its own policy, then by one with a narrower band."""
    text = (project_root() / FINANCE).read_text(encoding="utf-8")
    candidate = Source(text.replace("max_discount: 0.12", "max_discount: 0.07").replace("version: 1.0.0", "version: 1.1.0"), "candidate")
    window = Window(last=last)
    verified, seconds, cpu_seconds = _timed(lambda: replay_run.verify(url, "main", window, processes=1))
    compared, compared_seconds, compared_cpu = _timed(lambda: replay_run.compare(url, "main", candidate, window, processes=1))
    _require_work(verified, compared)
    return Replayed(
        verified.read,
        verified.equal == verified.read,
        verified.read / seconds,
        verified.read / cpu_seconds,
        compared.decided / compared_seconds,
        compared.decided / compared_cpu,
    )


def _timed(work: Callable[[], Done[Outcome]]) -> tuple[Outcome, float, float]:
    began, began_cpu = perf_counter(), process_time()
    done = work()
    return done.outcome, perf_counter() - began, process_time() - began_cpu


def _require_work(verified: Verified, compared: Tally) -> None:
    """A replay that found nothing to do would look fast."""
    if not verified.read or not compared.flips:
        raise RuntimeError(f"{verified.read} decisions derived, {compared.flips} flips: there was nothing to replay")
