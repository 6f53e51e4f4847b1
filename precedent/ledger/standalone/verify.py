"""Verify an export of a ledger: python verify.py [DIR] [--key VERIFIER_KEY] [--since CHECKPOINT] [--json]

Python 3.11 and `cryptography` are all it needs; it writes nothing. Exit status 1 on any finding.
1. manifest.ndjson is there (it is written last), and every file outside tile/ has the digest that it names.
2. Each entry, 114 bytes in tile/entries, has its place, names the hash of the one before, and a later time.
3. Its sections have the commitments that make its body root, and are canonical JSON; `personal` is ciphertext. Where that is absent, it
   is `erased` if a later erasure entry says so, `withheld` if the manifest does, else `missing`.
4. The hashes of entries are the leaves of the tree in tile/ (RFC 6962, C2SP tlog-tiles). From the root down: a tile counts if the
   hash over it stands in the tile above, an entry if its hash stands in such a tile.
5. The root is that of `checkpoint`, signed (Ed25519, C2SP signed-note) by the key you gave, or by one that it leads to: a `key` entry
   holds a note that both keys have signed. Without --key it is the first of keys.txt: compare that with what you were told elsewhere.
6. With --since, a checkpoint that you kept, the tree begins with that one, and only what came after it is read entry by entry.
"""

from __future__ import annotations

import argparse
import itertools
import json
import struct
import sys
import zlib
from binascii import a2b_base64
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "precedent-export/1"
ENTRY = struct.Struct(">HBB16sQQ16s32s32s")  # length, version, kind, chain, seq, time in µs, id, hash of the entry before, body root
LENGTH, WIDTH, TILE, TEXT_LIMIT = 114, 256, 8192, 1 << 30  # bytes of an envelope, entries in a bundle, bytes of a full tile
PERSONAL, POLICY, ERASURE, KEY = 3, 5, 8, 9  # a section; kinds of entries whose words matter here
SHAPES = {bytes((1, *more)): bytes((16, count + 1)) for count in range(5) for more in itertools.combinations((2, 3, 4, 5), count)}
PREFIXES = {number: bytes((17, number)) for number in range(1, 6)}  # what a section's bytes are hashed with


class Fault(NamedTuple):
    verdict: str
    where: str
    words: str


@dataclass
class Plan:
    """What an export holds: whole bundles of entries, and the sections of entries `first` … `last` - 1 and of those in `also`."""

    folder: Path
    chain: str
    chain_id: bytes
    size: int
    first: int
    last: int
    also: frozenset[int]
    is_withheld: bool
    files: dict[str, str]

    def bundles(self, since: int = 0) -> list[int]:
        return sorted({*range(max(self.first, since) // WIDTH, -(-self.last // WIDTH)), *(seq // WIDTH for seq in self.also)})

    def seqs(self, bundle: int) -> list[int]:
        return [seq for seq in range(bundle * WIDTH, (bundle + 1) * WIDTH) if self.first <= seq < self.last or seq in self.also]

    def edges(self, size: int) -> list[tuple[int, int]]:
        """(level, number) of the tiles with what is beyond the full ones in a tree of `size` leaves, from the leaves up."""
        return [(level, size >> 8 * level + 8) for level in range(-(-size.bit_length() // 8))]

    def tiles(self, since: int = 0) -> list[tuple[int, int]]:
        """Every tile that proves the bundles and the root, and that of the first `since` leaves; from the root down."""
        found = {(0, number) for number in self.bundles()}.union(self.edges(self.size), self.edges(since))
        found |= {(level + up, number >> 8 * up) for level, number in found for up in range(1, 8)}
        return sorted((one for one in found if self.width(*one)), reverse=True)

    def width(self, level: int, number: int) -> int:
        return max(0, min(WIDTH, (self.size >> 8 * level) - number * WIDTH))

    def path(self, kind: str, number: int) -> str:
        """Of a tile, bundle or sections, as C2SP names tiles: 1234067 is x001/x234/067, and what is not full says its width."""
        name = "x" + "/x".join(f"{group:0>3}" for group in f"{number:,}".split(","))
        name, width = name[:-4] + name[-3:], self.width(int(kind) if kind.isdigit() else 0, number)
        return f"sections/{name}.ndjson.gz" if kind == "sections" else f"tile/{kind}/{name}" + (f".p/{width}" if width < WIDTH else "")

    def read(self, path: str) -> bytes:
        return file.read_bytes() if (file := self.folder / path).is_file() else b""

    def tile(self, level: int, number: int) -> bytes:
        return self.read(self.path(str(level), number))


@dataclass
class Scan:
    """What came of some bundles. A fault of an entry is the first that was seen."""

    plan: Plan
    are_canonical: Callable[[list[bytes]], bool]
    loads: Callable[[bytes], Any]
    checked: int = 0
    faults: dict[int, Fault] = field(default_factory=dict)
    files: list[Fault] = field(default_factory=list)
    leaves: dict[int, bytes] = field(default_factory=dict)  # of bundles whose entries are not what their tile says, or not full
    tops: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)  # the hash over a bundle's entries, and that over its tile
    absent: list[int] = field(default_factory=list)  # entries without their personal section
    erased: dict[int, int] = field(default_factory=dict)  # entry: the erasure entry that names its personal section
    policies: dict[str, str] = field(default_factory=dict)  # file: digest of the text that was published
    rotations: list[tuple[int, str, str, str]] = field(default_factory=list)  # seq, verifier key, the one before it, what both signed

    def blame(self, seq: int, verdict: str, where: str, words: str) -> None:
        self.faults.setdefault(seq, Fault(verdict, where, words))

    def run(self, bundles: Sequence[int]) -> Scan:
        """Check everything about the entries of these bundles but whether their hashes are in the signed tree."""
        for number in bundles:
            bodies, texts, path = self.check_envelopes(number), list[bytes](), self.plan.path("sections", number)
            self.checked += len(bodies)
            try:
                why = "they are not there"
                text = zlib.decompressobj(31).decompress(self.plan.read(path) if bodies else b"", TEXT_LIMIT)
                self.check_sections(bodies, iter(text.split(b"\n")[:-1]), texts)
                if not self.are_canonical(texts):
                    self.files.append(Fault("mutated", path, "a section in it is not canonical JSON"))
            except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, zlib.error) as error:
                why = f"they can't be read: {type(error).__name__} {error}"[:120]
                self.files.append(Fault("mutated", path, why))
            for seq in bodies:
                self.blame(seq, "missing", "sections", why)
        return self

    def check_envelopes(self, number: int) -> dict[int, tuple[int, bytes]]:
        """(kind, body root) by seq of those that have sections here. A link may name what the entry before hashes to, or its tile says."""
        width, first, path = (plan := self.plan).width(0, number), number * WIDTH, plan.path("entries", number)
        raw, tile, own, found = plan.read(path), plan.tile(0, number), list[bytes](), dict[int, tuple[int, bytes]]()
        if len(raw) != width * ENTRY.size:
            self.files.append(Fault("mutated" if raw else "missing", path, f"{len(raw)} bytes instead of {width * ENTRY.size}"))
            raw = raw.ljust(width * ENTRY.size, b"\0")[: width * ENTRY.size]
        stored = split(tile.ljust(width * 32, b"\0")[: width * 32])
        prior = plan.read(plan.path("entries", number - 1))[-LENGTH:] if number else b""
        last = plan.tile(0, number - 1)[-32:] if number else bytes(32)
        before = (leaf := sha256(b"\x00" + prior).digest(), last, int.from_bytes(prior[26:34]) if leaf == last else -1) if last else None
        for at, (length, version, kind, chain, seq, when, _, previous, body_root) in enumerate(ENTRY.iter_unpack(raw)):
            own.append(leaf := sha256(b"\x00" + raw[at * ENTRY.size + 2 : (at + 1) * ENTRY.size]).digest())
            if length != LENGTH or version != 1 or not 1 <= kind <= 11 or chain != plan.chain_id:
                words = f"{length} bytes of version {version}, kind {kind}, chain {chain.hex()}"
                self.blame(first + at, *(("mutated", "envelope") if length else ("missing", "entry")), words)
            elif seq != first + at:
                is_moved = plan.tile(0, seq // WIDTH)[seq % WIDTH * 32 :][:32] == leaf
                self.blame(first + at, *(("reordered", "entry") if is_moved else ("mutated", "envelope")), f"it says it is entry {seq}")
            elif before and previous not in before[:2]:
                self.blame(seq, "forked", "envelope", f"it continues another entry {seq - 1} than the one that stands there")
            elif before and when <= before[2]:
                self.blame(seq, "reordered", "envelope", "its time is not after that of the entry before")
            found[first + at] = kind, body_root
            before = leaf, stored[at], when if leaf == stored[at] else -1  # the time of a changed entry says nothing of the next
        if (is_other := own != stored or len(tile) != width * 32) or width < WIDTH:
            self.leaves[number] = b"".join(own)
        if width == WIDTH:
            self.tops[number] = (over := top(own)), top(stored) if is_other else over
        return {seq: found[seq] for seq in plan.seqs(number)}

    def check_sections(self, bodies: dict[int, Any], lines: Iterator[bytes], texts: list[bytes]) -> None:
        """A line of JSON for each entry, then one for each section: its bytes, or base64 of `personal`. Raises: for any other line."""
        for head in map(self.loads, lines):
            ids, commits, (kind, body_root) = head["sections"], list[bytes](), bodies.pop(seq := head["seq"])
            for number, salt, stored in zip(ids, map(a2b_base64, head["salts"]), itertools.islice(lines, len(ids)), strict=True):
                if number == PERSONAL:
                    stored = a2b_base64(json.loads(stored))
                else:
                    texts.append(stored)
                commits.append(sha256(PREFIXES[number] + salt + stored).digest() if len(salt) == 32 else b"")
            for number, commit in head.get("absent", ()):
                ids, commits = map(list, zip(*sorted([*zip(ids, commits, strict=True), (number, a2b_base64(commit))]), strict=True))
                self.absent += [seq] * (number == PERSONAL)
                if number != PERSONAL:
                    self.blame(seq, "missing", f"section {number}", "it is not there")
            shape = bytes(ids)
            if shape not in SHAPES or sha256(SHAPES[shape] + b"".join(commits)).digest() != body_root:
                self.blame(seq, "mutated", "sections", f"they are not those that the entry commits to: bytes or salts of {[*shape]}")
            elif kind in (POLICY, ERASURE, KEY):
                core, *more = map(json.loads, texts[-sum(number != PERSONAL for number in head["sections"]) :])
                if kind == ERASURE and core.get("op") == "erase":
                    self.erased.update((erased, seq) for erased, number in core["erased"] if number == PERSONAL and erased < seq)
                elif kind == KEY and core.get("op") == "rotate_signer":
                    self.rotations.append((seq, core["verifier"], core["previous"], core["note"]))
                elif kind == POLICY and core.get("op") == "publish":
                    path = f"policies/{core['name']}@{core['version']}.yaml"
                    self.policies[path] = sha256(more[0]["source_text"].encode()).hexdigest()


READ = json.JSONDecoder().raw_decode
# int() refuses fractions, NaN, and the words for a number that is too long.
WHOLE = json.JSONDecoder(parse_int=lambda text: int(text if len(text) < 18 else "too long"), parse_float=int, parse_constant=int).raw_decode
ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def are_canonical(texts: list[bytes]) -> bool:
    """Whether each is the one way to write its object: RFC 8785 without fractions or longer numbers."""
    try:
        lines = [text.decode() for text in texts]
        values, ends = zip(*[WHOLE(line) for line in lines], strict=True) if lines else ((), ())
        are_whole = all(line[0] == "{" for line in lines) and [*ends] == [*map(len, lines)]
        return are_whole and bool(ENCODE(values).encode() == b"[" + b",".join(texts) + b"]")
    except (ValueError, RecursionError):
        return False


def read_line(line: bytes) -> Any:
    value, end = READ(text := line.decode())
    return value if end == len(text) else json.loads(text)  # which says what is wrong


def split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + 32] for at in range(0, len(hashes), 32)]


def top(hashes: Sequence[bytes]) -> bytes:
    """The hash over 1, 2, 4 … 256 hashes."""
    while len(hashes) > 1:
        hashes = [sha256(b"\x01" + hashes[at] + hashes[at + 1]).digest() for at in range(0, len(hashes), 2)]
    return hashes[0]


def root_of(edges: Sequence[bytes]) -> bytes:
    """The root over what is beyond the full tiles of each level, from the leaves up: complete subtrees, joined from the right."""
    root = b""
    for hashes in map(split, edges):
        while hashes:
            count = len(hashes) & -len(hashes)
            root = sha256(b"\x01" + top(hashes[-count:]) + root).digest() if root else top(hashes[-count:])
            del hashes[-count:]
    return root


class Tree:
    """The tiles that the root vouches for. One that is not what the tile above says is made anew from what is below it."""

    def __init__(self, part: Scan, plan: Plan, since: int, root: bytes) -> None:
        self.plan, self.part, self.tiles = plan, part, dict[tuple[int, int], bytes]()
        choices = [self.choices(*one) for one in plan.edges(plan.size)]
        chosen = next((one for one in itertools.product(*choices) if root_of(one) == root), None)
        self.is_proved, found = chosen is not None, chosen or [one[0] for one in choices]
        self.root = root_of(found)
        for place, content in zip(plan.edges(plan.size), found, strict=True):
            self.settle(*place, content, is_proved=True)
        for level, number in plan.tiles(since):
            above = self.tiles.get((level + 1, number >> 8), b"")[number % WIDTH * 32 :][:32]
            if (level, number) not in self.tiles and (level or part.tops.get(number) != (above, above)):
                options = self.choices(level, number)
                proved = next((one for one in options if len(one) == TILE and top(split(one)) == above), None)
                self.settle(level, number, proved or options[0], is_proved=proved is not None)

    def choices(self, level: int, number: int) -> list[bytes]:
        """What a tile may be: as it stands, and made from what is below it."""
        plan, part, made = self.plan, self.part, [self.part.leaves.get(number, b"")] if level == 0 else []
        if level == 1:
            below = [part.tops.get(number * WIDTH + at, (b"", b"")) for at in range(plan.width(level, number))]
            made = [b"".join(one[which] for one in below) for which in (0, 1)]
        return [plan.tile(level, number), *(one for one in made if len(one) == plan.width(level, number) * 32)]

    def settle(self, level: int, number: int, content: bytes, *, is_proved: bool) -> None:
        """Keep a tile, and say what is not as it says: its file, or entries under it."""
        stored, part, start = self.plan.tile(level, number), self.part, number * WIDTH
        self.tiles[level, number] = content
        if stored != content or not is_proved:
            part.files.append(Fault("mutated" if stored else "missing", self.plan.path(str(level), number), "it is not what the tree says"))
        if level == 0 and (number in part.leaves or not is_proved):
            own = split(part.leaves.get(number, bytes(len(content))))
            for seq in (start + at for at, pair in enumerate(zip(own, split(content), strict=False)) if pair[0] != pair[1]):
                if seq not in part.faults or part.faults[seq].where != "entry":
                    part.faults[seq] = Fault("mutated", "envelope", "it is not the entry that stands in the tree")

    def root_at(self, size: int) -> bytes:
        """The root of the first `size` leaves."""
        found = [(level, self.tiles.get((level, number)) or self.plan.tile(level, number)) for level, number in self.plan.edges(size)]
        return root_of([tile[: (size >> 8 * level) % WIDTH * 32] for level, tile in found])


class Note(NamedTuple):
    """A text and its signatures, by name and id of the key, not yet believed; that of a checkpoint is origin, size and root."""

    text: str
    signatures: dict[tuple[str, str], bytes]

    @classmethod
    def parse(cls, raw: bytes) -> Note:
        """Of a text, an empty line, and signatures, a line each. Raises: ValueError."""
        text, _, signed = raw.decode().rpartition("\n\n")
        words = [line.removeprefix("— ").split(" ") for line in signed.splitlines()]
        return cls(text + "\n", {(name, a2b_base64(word)[:4].hex()): a2b_base64(word)[4:] for name, word in words})

    def head(self) -> tuple[int, bytes]:
        """(size, root) of a checkpoint. Raises: ValueError."""
        _, size, root, _ = self.text.split("\n")
        if str(int(size)) != size or int(size) < 1 or len(a2b_base64(root)) != 32:
            raise ValueError(f"not a checkpoint: {self.text[:80]!r}")
        return int(size), a2b_base64(root)

    def is_signed(self, key: str) -> bool:
        """Whether a verifier key, <name>+<id>+base64(0x01 || public key), has signed it, and the first line is the key's name."""
        name, key_id, encoded = key.split("+", 2)
        raw = a2b_base64(encoded)
        try:
            Ed25519PublicKey.from_public_bytes(raw[1:]).verify(self.signatures.get((name, key_id), b""), self.text.encode())
        except InvalidSignature:
            return False
        return sha256(name.encode() + b"\n" + raw).hexdigest()[:8] == key_id and raw[0] == 1 and self.text.split("\n")[0] == name


def follow(key: str, rotations: Sequence[tuple[int, str, str, str]]) -> list[tuple[int, str]]:
    """(size, key) of those that sign trees of this size and more: the one you trust, and those that it leads to, each by its note."""
    found = [(0, key)]
    for seq, new, old, raw in sorted(rotations):
        note, words = Note.parse(raw.encode()), f"{old.split('+')[0]}\nsigner handover\n{old}\n{new}\n"
        if old == found[-1][1] and note.text == words and note.is_signed(old) and note.is_signed(new):
            found.append((seq + 1, new))
    return found


def read_plan(folder: Path) -> Plan:
    """What the manifest says. Raises: ValueError where it is missing or not as it was written."""
    line, _, rest = (path.read_bytes() if (path := folder / "manifest.ndjson").is_file() else b"").partition(b"\n")
    if rest != b'"%s"\n' % sha256(line).hexdigest().encode() or (said := json.loads(line))["format"] != FORMAT:
        raise ValueError("manifest.ndjson is missing or was changed: this is no finished export, or not the one that was made")
    span = said["size"], said["first"], said["last"], frozenset(said["also"])
    plan = Plan(folder, said["chain"], bytes.fromhex(said["chain_id"].replace("-", "")), *span, said["withheld"], said["files"])
    for name in ("checkpoint", "keys.txt"):
        if sha256(plan.read(name)).hexdigest() != plan.files.get(name):
            raise ValueError(f"{name} is not the file that was exported")
    return plan


def conclude(part: Scan, key: str | None, since: Note | None) -> dict[str, Any]:
    """The tree, its signature and the files; then everything as one report."""
    newest = Note.parse((plan := part.plan).read("checkpoint"))
    (size, root), (old, old_root) = newest.head(), since.head() if since else (0, b"")
    tree = Tree(part, plan, min(old, plan.size), root)
    trusted = follow(key or plan.read("keys.txt").decode().split()[0], [one for one in part.rotations if one[0] not in part.faults])
    signer, old_signer = trusted[-1][1], next(key for first, key in reversed(trusted) if first <= old)
    whole = [Fault(*words) for is_so, *words in (
        (size != plan.size, "stale" if size < plan.size else "truncated", "checkpoint", f"it covers {size} entries"),
        (size == plan.size and not tree.is_proved, "forked", "checkpoint", f"the root of what stands here is {tree.root.hex()}"),
        (not newest.is_signed(signer), "wrong_signer", "checkpoint", f"it is not signed by {signer}"),
        (since and not since.is_signed(old_signer), "wrong_signer", "--since", f"it is not signed by {old_signer}"),
        (old > plan.size, "truncated", "--since", f"it covers more than the {plan.size} entries of this export"),
        (since and old <= plan.size and tree.root_at(old) != old_root, "forked", "--since", "its entries are others"),
    ) if is_so]  # fmt: skip
    for path, digest in plan.files.items():
        raw = plan.read(path)
        if sha256(raw).hexdigest() != digest or (path.startswith("policies/") and part.policies.get(path) != digest):
            part.files.append(Fault("mutated" if raw else "missing", path, "it is not the file that was exported"))
    erased = {seq for seq in part.absent if seq in part.erased and part.erased[seq] not in part.faults}
    for seq in set(part.absent) - erased if not plan.is_withheld else ():
        part.blame(seq, "missing", "section personal", "it is not there, and no erasure entry names it")
    counts = Counter(dict.fromkeys(("intact", "erased", "withheld", "mutated", "missing", "reordered", "forked"), 0))
    counts.update(fault.verdict for fault in part.faults.values())
    counts.update("erased" if seq in erased else "withheld" for seq in part.absent if seq not in part.faults)
    counts["intact"] = part.checked - counts.total()
    findings: list[dict[str, Any]] = [fault._asdict() for fault in (*whole, *part.files)]
    for (_, fault), run in itertools.groupby(enumerate(sorted(part.faults)), lambda one: (one[1] - one[0], part.faults[one[1]])):
        (_, seq), *more = run  # neighbours are one finding
        findings.append({**fault._asdict(), "seq": seq, "to": seq + len(more)})
    report = {"is_intact": not findings, "chain": plan.chain, "size": plan.size, "checked": part.checked, "counts": dict(counts)}
    report |= {"ledger": [fault.verdict for fault in whole], "findings": findings, "key": signer, "key_given": key is not None}
    return report | {"erased_by": {seq: part.erased[seq] for seq in sorted(erased)}}


def text_of(report: dict[str, Any]) -> str:
    lines = [f"chain {report['chain']}: {report['checked']} of {report['size']} entries read"]
    lines += ["entries: " + ", ".join(f"{count} {name}" for name, count in report["counts"].items())]
    lines += [f"key: {report['key']}" + ("" if report["key_given"] else " (as the export itself says: compare it, or give --key)")]
    for found in report["findings"]:
        place = f"entry {found['seq']} … {found['to']} ".replace(f"… {found['seq']} ", "") if "seq" in found else ""
        lines += [f"  {place}{found['verdict']}: {found['where']}: {found['words']}"]
    return "\n".join([*lines, "intact" if report["is_intact"] else "NOT INTACT"])


def verify(folder: Path, key: str | None = None, since: Note | None = None) -> dict[str, Any]:
    scan = Scan(read_plan(folder), are_canonical, read_line)
    return conclude(scan.run(scan.plan.bundles(since.head()[0] if since else 0)), key, since)


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify an export of a ledger; exit status 1 on any finding.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent, help="default: where this file is")
    parser.add_argument("--key", help="verifier key that you were told by other means than the export")
    parser.add_argument("--since", type=Path, help="a checkpoint that you kept: read only what came after it")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    try:
        report = verify(options.folder, options.key, Note.parse(options.since.read_bytes()) if options.since else None)
    except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
        report = {"is_intact": False, "error": f"NOT INTACT: {error}"}
    print(json.dumps(report, indent=2) if options.json else report.get("error") or text_of(report))
    return 0 if report["is_intact"] else 1


if __name__ == "__main__":
    sys.exit(main())
