"""The tamper gym's ground: a filled database whose triggers are off, changed by SQL, verified, and put back.

What is tried is made from the schema and from the stored JSON, so that a new table, column or field is tried without being listed
anywhere. What is left out has its reason in `EXEMPT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Integer, LargeBinary, Numeric, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

from precedent.db.tables import metadata
from precedent.ledger.entry import ENVELOPE, body_root_of, commit_of, leaf_of
from precedent.ledger.projection_store import TABLES
from precedent.ledger.report import Report
from precedent.ledger.tree_check import NO_WITNESSES, Witnesses
from precedent.ledger.verify import verify_database

RECORD = ("ledger.entry", "ledger.section", "ledger.chain", "ledger.subject_key")
PROJECTIONS = tuple(f"precedent.{name}" for name in TABLES)

DERIVED_BY_PIPELINE = (
    "precedent.knowledge_snapshots",
    "precedent.embedding_models",
    "precedent.recall_calibrations",
    "precedent.case_vectors_384",
    *(f"precedent.{of}_embeddings_{width}" for of in ("decision", "snapshot") for width in (384, 1536)),
)

# Tables and columns that verification does not judge, and why.
EXEMPT = {
    "ledger.writer_kind": "no part of a chain: who may append what is laid anew at each start, and held by the rights test",
    "ledger.tile": "derived from entries, none of which is covered there: every column is tried in test_tamper_tree.py",
    "ledger.checkpoint": "derived from entries, none of which is covered there: every column is tried in test_tamper_tree.py",
    "ledger.subject_key.epoch_key": "only who holds the keys can judge it: unwrapping (RFC 3394) fails on any change",
    "ledger.subject_key.wrapped": "only who holds the keys can judge it: unwrapping (RFC 3394) fails on any change",
    "precedent.subjects": "only who holds the lookup key can judge a lookup hash; that each has a key and back is tried by deletion",
    "precedent.idempotency": "claimed keys: who changes them can have a request answered twice, or refused, but no entry changed",
    "precedent.outbox": "work to deliver, at least once: what it says is read from the entry again by whoever gets it",
    "precedent.webhook_endpoints": "where messages about entries go: who changes it hears of entries, and changes none",
    "precedent.model_calls": "what models cost, no part of the record: who deletes a row spends a budget twice",
    "precedent.api_tokens": "who may ask; each answer's entry names the principal that was taken at its word",
    "precedent.asset_leaves": "they make the digest that the statement has: `precedent lineage` tells where they do not",
    "precedent.variant_scorecards": "derived: `precedent lineage` tells where they are not as stated, and counts again",
    "precedent.asset_partitions": "work still to state; who changes it leaves rows unstated, which `precedent lineage` tells",
    **dict.fromkeys(DERIVED_BY_PIPELINE, "as analytics is, and no projection: what a decision used of it is sealed in the decision"),
}


def tried_columns() -> list[tuple[Table, Column[object]]]:
    """Every column of every table of both schemas that is not exempt."""
    return [
        (table, column)
        for name, table in sorted(metadata.tables.items())
        for column in table.columns
        if name not in EXEMPT and f"{name}.{column.name}" not in EXEMPT
    ]


def tried_tables() -> list[str]:
    return [name for name in sorted(metadata.tables) if name not in EXEMPT]


def change_of(column: Column[object]) -> str:
    """SQL of another value for a column."""
    name, kind = column.name, column.type
    match kind:
        case UUID():
            return "gen_random_uuid()"
        case LargeBinary():
            return f"set_byte({name}, octet_length({name}) - 1, get_byte({name}, octet_length({name}) - 1) # 1)"
        case JSONB():
            return """'{"tampered": true}'"""
        case Boolean():
            return f"not {name}"
        case TIMESTAMP():
            return f"coalesce({name}, now()) + interval '1 microsecond'"
        case ARRAY() if isinstance(kind.item_type, LargeBinary):
            return f"array[set_byte({name}[1], 0, get_byte({name}[1], 0) # 1)] || {name}[2:]"
        case ARRAY():
            return f"{name}[1:cardinality({name}) - 1] || case {name}[cardinality({name})] when 5 then 4 else 5 end::smallint"
        case BigInteger():
            return f"coalesce({name}, 0) + 1000000"
        case Integer() | SmallInteger():
            return f"case when {name} = 0 then 1 else {name} - 1 end" if name == "max_level" else f"{name} + 100"
        case Numeric():
            return f"coalesce({name}, 0) + 0.001"
        case Text():
            return f"coalesce({name}, '') || '!'"
    raise AssertionError(f"no change is known for a {kind!r}")


def row_of(table: Table, number: int) -> str:
    """A condition that picks one row: the `number`th in order of the key."""
    key = ", ".join(column.name for column in table.primary_key.columns)
    return f"ctid = (select ctid from {table.fullname} order by {key} offset {number} limit 1)"


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it stands, to be forged: sections are (salt, bytes) by id."""

    seq: int
    envelope: bytes
    sections: dict[int, tuple[bytes, bytes]]

    @property
    def kind(self) -> int:
        return self.envelope[1]


@dataclass(frozen=True, slots=True)
class Gym:
    """A filled database without its triggers; `kept` is a schema with a copy of each table."""

    url: str
    witnesses: Callable[[], Witnesses] = lambda: NO_WITNESSES

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                touched = connection.execute(statement.encode())
                assert touched.rowcount > 0, statement

    def verify(self) -> Report:
        return verify_database(self.url, processes=1, witnesses=self.witnesses())

    def restore(self, tables: tuple[str, ...] = ()) -> None:
        with psycopg.connect(self.url) as connection:
            for name in tables or kept_tables():
                connection.execute(f"delete from {name}; insert into {name} select * from kept.{name.replace('.', '_')}".encode())

    def size(self) -> int:
        with psycopg.connect(self.url) as connection:
            return int((connection.execute("select count(*) from ledger.entry").fetchone() or (0,))[0])

    def read(self, seq: int) -> Stored:
        with psycopg.connect(self.url) as connection:
            (envelope,) = connection.execute("select envelope from ledger.entry where seq = %s", (seq,)).fetchone() or (b"",)
            rows = connection.execute("select section_ids, salts, stored from ledger.section where seq = %s", (seq,)).fetchall()
        found = [part for ids, salts, stored in rows for part in zip(ids, salts, stored, strict=True)]
        return Stored(seq, envelope, {number: (salt, stored) for number, salt, stored in sorted(found)})

    def write_sections(self, seq: int, sections: dict[int, tuple[bytes, bytes]]) -> None:
        """These sections in place of those that stand there, and nothing else."""
        with psycopg.connect(self.url) as connection:
            chain = connection.execute("delete from ledger.section where seq = %s returning chain_id", (seq,)).fetchall()[0][0]
            for is_personal in (False, True):
                ids = [number for number in sections if (number == 3) is is_personal]
                if ids or not is_personal:
                    parts = [sections[number] for number in ids]
                    connection.execute(
                        "insert into ledger.section values (%s, %s, %s, %s::int2[], %s::bytea[], %s::bytea[])",
                        (chain, seq, is_personal, ids, [salt for salt, _ in parts], [stored for _, stored in parts]),
                    )

    def write_commits(self, seq: int, sections: dict[int, tuple[bytes, bytes]]) -> None:
        """The commitments that fit these sections; the body root stays."""
        packed = b"".join(bytes((number,)) + commit_of(number, *part) for number, part in sections.items())
        with psycopg.connect(self.url) as connection:
            connection.execute("update ledger.entry set commits = %s where seq = %s", (packed, seq))

    def write_envelope(self, seq: int, envelope: bytes) -> bytes:
        """This envelope with the leaf that fits it."""
        with psycopg.connect(self.url) as connection:
            connection.execute("update ledger.entry set envelope = %s, leaf = %s where seq = %s", (envelope, leaf_of(envelope), seq))
        return leaf_of(envelope)

    def write_body_root(self, stored: Stored, sections: dict[int, tuple[bytes, bytes]]) -> bytes:
        """The body root of these sections in the envelope, and the leaf that fits."""
        *others, _ = ENVELOPE.unpack(stored.envelope)
        root = body_root_of([commit_of(number, *part) for number, part in sections.items()])
        return self.write_envelope(stored.seq, ENVELOPE.pack(*others, root))

    def relink(self, seq: int, leaf: bytes) -> None:
        """Every entry after `seq` continues the one before it again."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute("select seq, envelope from ledger.entry where seq > %s order by seq", (seq,)).fetchall()
            for number, envelope in rows:
                linked = envelope[:50] + leaf + envelope[82:]
                leaf = leaf_of(linked)
                connection.execute("update ledger.entry set envelope = %s, leaf = %s where seq = %s", (linked, leaf, number))
            # What is derived from the leaves goes along.
            connection.execute(
                "update precedent.decisions d set hash = e.leaf, prev_hash = substr(e.envelope, 51, 32)"
                " from ledger.entry e where e.seq = d.seq and e.chain_id = d.chain_id"
            )


def kept_tables() -> list[str]:
    left_alone = {"ledger.writer_kind", "precedent.outbox", "precedent.api_tokens", *DERIVED_BY_PIPELINE}
    return [name for name in sorted(metadata.tables) if name not in left_alone]


def open_gym(url: str, witnesses: Callable[[], Witnesses] = lambda: NO_WITNESSES) -> Gym:
    """Take a copy of every table of a filled database, and its triggers off."""
    with psycopg.connect(url) as connection:
        connection.execute("create schema kept")
        for name in kept_tables():
            connection.execute(f"create table kept.{name.replace('.', '_')} as table {name}".encode())
            connection.execute(f"alter table {name} disable trigger user".encode())
            connection.execute(f"analyze {name}".encode())
    gym = Gym(url, witnesses)
    report = gym.verify()
    assert report.is_intact, str(report)
    return gym


@contextmanager
def putting_back(gym: Gym, *tables: str) -> Iterator[Gym]:
    """Whatever is done to `tables` in the block is undone after it; to all tables where none is named."""
    try:
        yield gym
    finally:
        gym.restore(tables)
