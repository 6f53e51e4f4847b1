"""The export: a folder that proves itself to whoever has the signer's public key, read from one snapshot of the database.

It holds the tree and its entries as C2SP tlog-tiles lays them out, the sections beside them as they are stored, the checkpoint and
keys that the proof rests on, the published policies, and the program that checks all of it. docs/ledger.md describes each file.

`manifest.ndjson` is written last, by one rename: if we crash before, the folder is no export, and says so to whoever verifies it. What
is exported is not judged here: a changed row is exported as it stands, for the verifier to name.
"""

from __future__ import annotations

import os
import re
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import orjson
import psycopg

from precedent.db.engine import connect, with_options
from precedent.errors import ExportRefused, LedgerBroken
from precedent.ledger import entry_store, export_store, tile_store
from precedent.ledger.canonical import canonical_bytes
from precedent.ledger.entry import Kind, Section
from precedent.ledger.integrate import origin_of
from precedent.ledger.note import VerifierKey
from precedent.ledger.rows import EntryRow
from precedent.ledger.signing import signer_of
from precedent.ledger.standalone import verify as standalone
from precedent.ledger.store import chain_id_of
from precedent.ledger.tiles import TILE_HASHES, TileName
from precedent.settings import Settings

# Bundles that are read by one statement.
RUN_BUNDLES = 256
GZIP_LEVEL = 3
POLICY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: entries of the tree, sections of `first` … `last` - 1, and how many entries no checkpoint covered yet."""

    size: int
    first: int
    last: int
    uncovered: int


def export_ledger(
    url: str,
    folder: Path,
    key: VerifierKey,
    *,
    exported_at: str,
    chain: str = "main",
    first: int = 0,
    last: int | None = None,
    with_personal: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Export the entries that the newest checkpoint covers, or of them `first` … `last` - 1 with what proves them.

    `url` is that of an administrator or of the owner; `key` the signer's. Memory is that of a few bundles.

    Raises: ExportRefused for a folder that is not empty, a range that is not covered, and what can't be laid out; LedgerBroken for a
    gap; DatabaseUnavailable; OSError; SettingsInvalid where no chain has that name.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ExportRefused(f"couldn't export into {folder}: it is not empty")
    connection = connect(with_options(url, default_transaction_read_only="on"))
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        chain_id = chain_id_of(connection, chain)
        newest = tile_store.read_newest_checkpoint(connection, chain_id)
        if newest is None:
            raise ExportRefused("couldn't export: no checkpoint covers an entry yet (the API's integrator makes them)")
        size, _, note = newest
        end = size if last is None else last
        if not 0 <= first < end <= size:
            raise ExportRefused(f"couldn't export entries {first} to {end - 1}: the newest checkpoint covers 0 to {size - 1}")
        head, _ = entry_store.read_head(connection, chain_id) or (-1, b"")
        always = export_store.read_always(connection, chain_id, size)
        plan = standalone.Plan(folder, chain, chain_id.bytes, size, first, end, frozenset(always), not with_personal, {})
        export = _Export(connection, chain_id, plan, on_progress or (lambda done, total: None))
        export.write("checkpoint", note.encode())
        export.write_entries()
        export.write_tiles()
        export.write("keys.txt", "".join(f"{one}\n" for one in export.keys(str(key))).encode())
        export.write("verify.py", Path(standalone.__file__).read_bytes())
    export.finish(exported_at)
    return Exported(size, first, end, head + 1 - size)


def verifier_key(url: str, settings: Settings) -> VerifierKey:
    """The key that signs the chain's checkpoints now.

    Raises: SettingsInvalid where the signer's key is not at hand; SignerUnavailable; DatabaseUnavailable.
    """
    with connect(url) as connection:
        origin = origin_of(chain_id_of(connection, settings.chain))
    return signer_of(settings, origin).verifier


@dataclass(slots=True)
class _Export:
    """One export while it is written. `plan` says what it will hold; it is the verifier's own."""

    connection: psycopg.Connection
    chain_id: UUID
    plan: standalone.Plan
    on_progress: Callable[[int, int], None]
    rotations: list[tuple[str, str]] = field(default_factory=list)
    _made: set[Path] = field(default_factory=set)

    def write(self, path: str, content: bytes, *, is_named: bool = True) -> None:
        """Write a file; the manifest names its digest, but for what the tree proves."""
        target = self.plan.folder / path
        if target.parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(target.parent)
        target.write_bytes(content)
        if is_named:
            self.plan.files[path] = sha256(content).hexdigest()

    def write_entries(self) -> None:
        """Bundles and sections, run by run."""
        bundles = self.plan.bundles()
        done = 0
        for run in _runs(bundles):
            first, last = run[0] * TILE_HASHES, min((run[-1] + 1) * TILE_HASHES, self.plan.size) - 1
            rows: list[EntryRow] = []
            for expected, row in enumerate(entry_store.read_entries(self.connection, self.chain_id, first, last), first):
                if row.seq != expected:
                    raise LedgerBroken(f"couldn't export: entry {expected} is missing. Run `precedent ledger verify`")
                rows.append(row)
                if len(rows) == TILE_HASHES or row.seq == last:
                    self._write_bundle(rows)
                    done += 1
                    rows = []
                    self.on_progress(min(done * TILE_HASHES, self.plan.size), min(len(bundles) * TILE_HASHES, self.plan.size))
            if rows or done != bundles.index(run[-1]) + 1:
                raise LedgerBroken(f"couldn't export: entries up to {last} are missing. Run `precedent ledger verify`")

    def _write_bundle(self, rows: Sequence[EntryRow]) -> None:
        number = rows[0].seq // TILE_HASHES
        envelopes = b"".join(len(row.envelope).to_bytes(2) + row.envelope for row in rows)
        self.write(self.plan.path("entries", number), envelopes, is_named=False)
        wanted = set(self.plan.seqs(number))
        lines = [line for row in rows if row.seq in wanted for line in self._lines_of(row)]
        if lines:
            squeeze = zlib.compressobj(GZIP_LEVEL, wbits=31)  # no time and no name in its header: the same bytes each time
            self.write(self.plan.path("sections", number), squeeze.compress(b"\n".join(lines) + b"\n") + squeeze.flush())

    def _lines_of(self, row: EntryRow) -> Iterator[bytes]:
        """A header, and the stored bytes of each section that is there."""
        parts = [] if row.plain is None else list(zip(*row.plain, strict=False))
        if row.personal is not None and not self.plan.is_withheld:
            parts = sorted([*parts, *zip(*row.personal, strict=False)])
        present = [number for number, _, _ in parts]
        committed = {row.commits[at]: row.commits[at + 1 : at + 33] for at in range(0, len(row.commits), 33)}
        head: dict[str, object] = {"seq": row.seq, "sections": present, "salts": [b64encode(salt).decode() for _, salt, _ in parts]}
        absent = [[number, b64encode(commit).decode()] for number, commit in committed.items() if number not in present]
        yield orjson.dumps(head | {"absent": absent} if absent else head)
        for number, _, stored in parts:
            if number != Section.PERSONAL and b"\n" in stored:
                raise ExportRefused(f"couldn't export entry {row.seq}: section {number} is no JSON. Run `precedent ledger verify`")
            yield b'"' + b64encode(stored) + b'"' if number == Section.PERSONAL else stored
        if row.seq in self.plan.also:
            self._keep(row.envelope[1], [stored for number, _, stored in parts if number in (Section.CORE, Section.FACTS)])

    def _keep(self, kind: int, stored: Sequence[bytes]) -> None:
        """The text of a policy that was published, and who signs from now on."""
        core = orjson.loads(stored[0])
        if kind == Kind.POLICY and core.get("op") == "publish":
            name = f"{core['name']}@{core['version']}"
            if not POLICY_NAME.fullmatch(name):
                raise ExportRefused(f"couldn't export policy {name!r}: that is no name of a file")
            self.write(f"policies/{name}.yaml", orjson.loads(stored[1])["source_text"].encode())
        elif kind == Kind.KEY and core.get("op") == "rotate_signer":
            self.rotations.append((core["previous"], core["verifier"]))

    def keys(self, current: str) -> list[str]:
        """Every key that has signed, the first one first."""
        found = [self.rotations[0][0], *(new for _, new in self.rotations)] if self.rotations else [current]
        return found if current in found else [*found, current]

    def write_tiles(self) -> None:
        """The tiles that prove the bundles and the root, as they stand."""
        names = [TileName(level, number, self.plan.width(level, number)) for level, number in self.plan.tiles()]
        for at in range(0, len(names), RUN_BUNDLES):
            for (level, number), hashes in tile_store.read_tiles(self.connection, self.chain_id, names[at : at + RUN_BUNDLES]).items():
                self.write(self.plan.path(str(level), number), hashes, is_named=False)

    def finish(self, exported_at: str) -> None:
        """Make it an export: name all of it, in one step that a crash does not halve."""
        plan = self.plan
        manifest: dict[str, object] = {
            "format": standalone.FORMAT,
            "chain": plan.chain,
            "chain_id": str(self.chain_id),
            "exported_at": exported_at,
            "size": plan.size,
            "first": plan.first,
            "last": plan.last,
            "also": sorted(plan.also),
            "withheld": plan.is_withheld,
            "files": plan.files,
        }
        line = canonical_bytes(manifest)
        aside = plan.folder / ".manifest.ndjson"
        with aside.open("wb") as file:
            file.write(line + b'\n"%s"\n' % sha256(line).hexdigest().encode())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(plan.folder / "manifest.ndjson")


def _runs(bundles: Sequence[int]) -> Iterator[list[int]]:
    """Neighbours, at most `RUN_BUNDLES` of them."""
    run: list[int] = []
    for number in bundles:
        if run and (number != run[-1] + 1 or len(run) == RUN_BUNDLES):
            yield run
            run = []
        run.append(number)
    if run:
        yield run
