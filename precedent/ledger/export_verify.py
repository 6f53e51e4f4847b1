"""Verification of an export with all processors: the checks are those of the program that travels in it, spread over processes.

One task is 65,536 entries, as far as one tile of level 1 reaches. JSON is read by orjson, a multiple faster; everything else is done by
`standalone/verify.py` itself, so that the two cannot disagree.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from precedent.errors import ExportRefused
from precedent.ledger.canonical import are_canonical
from precedent.ledger.note import VerifierKey
from precedent.ledger.standalone import verify as standalone
from precedent.ledger.standalone.verify import Note, Plan, Scan

TASK_BUNDLES = 256


def verify_export(
    folder: Path,
    *,
    key: VerifierKey | None = None,
    since: str | None = None,
    processes: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The report of `verify.py`; `key` and the note `since` are what the caller trusts, not what the export says.

    Raises: ExportRefused where the folder is no finished export, or `since` no checkpoint.
    """
    try:
        trusted = Note.parse(since.encode()) if since is not None else None
        plan = standalone.read_plan(folder)
        bundles = plan.bundles(trusted.head()[0] if trusted else 0)
        whole = Scan(plan, are_canonical, orjson.loads)
        tasks = [list(task) for _, task in groupby(bundles, key=lambda number: number // TASK_BUNDLES)]
        done = 0
        for part in _scan_all(plan, tasks, min(processes or os.cpu_count() or 1, len(tasks))):
            _merge(whole, part)
            done += part.checked
            if on_progress:
                on_progress(done, sum(len(plan.seqs(number)) for number in bundles))
        return standalone.conclude(whole, str(key) if key else None, trusted)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ExportRefused(f"couldn't verify {folder}: {error}") from error


def _scan_all(plan: Plan, tasks: Sequence[list[int]], workers: int) -> Iterator[Scan]:
    if workers <= 1:
        yield from (_scan(plan, task) for task in tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_scan, plan, task) for task in tasks]):
            yield future.result()


def _scan(plan: Plan, bundles: Sequence[int]) -> Scan:
    return Scan(plan, are_canonical, orjson.loads).run(bundles)


def _merge(whole: Scan, part: Scan) -> None:
    """Add what another process found."""
    whole.checked += part.checked
    for name in (field.name for field in fields(Scan)):
        mine, its = getattr(whole, name), getattr(part, name)
        if isinstance(mine, dict):
            mine.update(its)
        elif isinstance(mine, list):
            mine.extend(its)
