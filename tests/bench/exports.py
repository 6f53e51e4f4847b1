"""The export of a large ledger: how fast it is written, in how much memory, and how fast it is verified, by us and by its own program."""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar
from uuid import UUID

from precedent.db.engine import connect
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.entry import ENVELOPE, NO_PREVIOUS, Kind, body_root_of, commit_of, leaf_of
from precedent.ledger.export import export_ledger
from precedent.ledger.export_verify import verify_export
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.note import SigningKey
from precedent.ledger.signer import Signer
from precedent.ledger.store import chain_id_of
from tests.bench.records import DECISIONS, EVENTS, draft_of, record

SEED = bytes(range(32))
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExportFigures:
    """Of `entries` of 1.5 KB, half of them decisions. Each is done by one process, whose peak of memory is told. Verification
    is by second of processor time, whoever else uses the cores; the export is by second, PostgreSQL beside it.
    """

    entries: int
    folder_mb: float
    export_per_second: float
    export_peak_mb: float
    verify_per_second: float
    verify_peak_mb: float
    standalone_per_second: float
    is_intact: bool


def measure_export(url: str, entries: int, home: Path) -> ExportFigures:
    """On a migrated database without entries; `home` is a folder on a disk with room for some 300 bytes an entry."""
    with connect(url) as connection:
        chain_id = chain_id_of(connection, "main")
    plant_ledger(url, chain_id, entries)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        witnesses, export = Path(folder) / "witnesses", Path(folder) / "export"
        signer = Signer(origin_of(chain_id), SEED, witnesses / "signer")
        integrator = Integrator(url, chain_id, signer, FolderAnchor(witnesses / "anchor"))
        while integrator.step():
            pass
        integrator.close()
        export_seconds, _, export_peak_mb, _ = _alone(_export, url, chain_id, export)
        _, verify_seconds, verify_peak_mb, is_intact = _alone(_verify, export)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, str(export / "verify.py"), "--json"], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        standalone_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return ExportFigures(
            entries,
            folder_mb=sum(path.stat().st_size for path in export.rglob("*") if path.is_file()) / 1e6,
            export_per_second=entries / export_seconds,
            export_peak_mb=export_peak_mb,
            verify_per_second=entries / verify_seconds,
            verify_peak_mb=verify_peak_mb,
            standalone_per_second=entries / standalone_seconds,
            is_intact=is_intact and json.loads(done.stdout)["counts"]["intact"] == entries,
        )


def plant_ledger(url: str, chain_id: UUID, count: int) -> None:
    """Entries with their sections, put there past the append and its projections, which no export reads."""
    texts = [
        [(section.section_id, section.stored) for section in draft_of(kind, record(kind, n)).sections]
        for n in range(256)
        for kind in (DECISIONS, EVENTS)
    ]
    entry = "copy ledger.entry (chain_id, seq, entry_id, envelope, leaf, commits) from stdin (format binary)"
    section = "copy ledger.section (chain_id, seq, is_personal, section_ids, salts, stored) from stdin (format binary)"
    previous = NO_PREVIOUS
    with ExitStack() as stack:
        entries, sections = (
            stack.enter_context(stack.enter_context(stack.enter_context(connect(url)).cursor()).copy(statement))
            for statement in (entry, section)
        )
        entries.set_types(["uuid", "int8", "uuid", "bytea", "bytea", "bytea"])
        sections.set_types(["uuid", "int8", "bool", "int2[]", "bytea[]", "bytea[]"])
        for seq in range(count):
            parts = texts[seq % len(texts)]
            salts = [seq.to_bytes(31) + bytes((number,)) for number, _ in parts]
            commits = [commit_of(number, salt, stored) for (number, stored), salt in zip(parts, salts, strict=True)]
            kind = Kind.EVENT if seq % 2 else Kind.DECISION
            entry_id = UUID(int=seq + 1)
            envelope = ENVELOPE.pack(1, kind, chain_id.bytes, seq, seq + 1, entry_id.bytes, previous, body_root_of(commits))
            previous = leaf_of(envelope)
            packed = b"".join(bytes((number,)) + commit for (number, _), commit in zip(parts, commits, strict=True))
            entries.write_row((chain_id, seq, entry_id, envelope, previous, packed))
            sections.write_row((chain_id, seq, False, [number for number, _ in parts], salts, [stored for _, stored in parts]))
    with connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze ledger.entry, ledger.section")


def _export(url: str, chain_id: UUID, folder: Path) -> None:
    export_ledger(url, folder, SigningKey(origin_of(chain_id), SEED).verifier, exported_at="2026-11-22T20:00:00.000000Z")


def _verify(folder: Path) -> bool:
    return bool(verify_export(folder, processes=1)["is_intact"])


def _alone(call: Callable[..., T], *arguments: object) -> tuple[float, float, float, T]:
    """Seconds, those of processor time, peak of resident memory in MB, and the answer of a call in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_measured, args=(send, call, arguments))
    child.start()
    send.close()
    told: tuple[float, float, float, T] = receive.recv()
    child.join()
    return told


def _measured(send: Connection, call: Callable[..., object], arguments: tuple[object, ...]) -> None:
    began, began_cpu = perf_counter(), process_time()
    answer = call(*arguments)
    seconds, cpu_seconds = perf_counter() - began, process_time() - began_cpu
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    send.send((seconds, cpu_seconds, int(peak.split()[1]) * 1024 / 1e6, answer))
