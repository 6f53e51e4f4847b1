"""The tamper gym on rows: every column of the record and of its projections is changed, each row deleted, others put beside it,
and verification must name it. Entries change places, lose a neighbour, are rewritten with their hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from database_catalog import relations
from every_kind import TAIL, fill_with_every_kind
from gym import EXEMPT, PROJECTIONS, Gym, change_of, open_gym, row_of, tried_columns, tried_tables
from sqlalchemy import Column, Table

from precedent.db.engine import connect
from precedent.db.tables import metadata
from precedent.errors import SettingsInvalid
from precedent.ledger.report import Report

# One column of each table stays in the quick tests: the last, which is never its key.
QUICK = [(table, list(table.columns)[-1]) for table in (metadata.tables[name] for name in tried_tables()) if table.name != "subject_key"]


@pytest.fixture(scope="module")
def filled(module_database_url: str) -> Gym:
    fill_with_every_kind(module_database_url)
    return open_gym(module_database_url)


@pytest.fixture
def gym(filled: Gym) -> Iterator[Gym]:
    yield filled
    filled.restore()


@pytest.fixture
def unchecked(gym: Gym) -> Gym:
    """The same without the check that seq is not negative: rows are parked there while they change places."""
    with psycopg.connect(gym.url) as connection:
        connection.execute("alter table ledger.entry drop constraint if exists entry_seq_check")
    return gym


def test_every_column_of_both_schemas_is_tried_or_exempt_for_a_reason(filled: Gym) -> None:
    """The catalog has the word: a column that stands in the database and is not tried has to be named, with a reason."""
    tried = {f"{table.fullname}.{column.name}" for table, column in tried_columns()}
    with connect(filled.url) as connection:
        tables = [one for one in relations(connection) if one.kind in "rp" and not one.name.startswith("analytics.")]
    standing = {f"{one.name}.{column}" for one in tables for column in one.columns}
    exempt = {name for name in standing if name in EXEMPT or name.rpartition(".")[0] in EXEMPT}
    assert standing == tried | exempt
    assert all(name in standing or any(one.startswith(f"{name}.") for one in standing) for name in EXEMPT), "no reason outlives its column"


def assert_named(report: Report, table: Table, column: Column[object]) -> None:
    """A changed key is a row that is missing in one place and stands for nothing in another: there the table is named."""
    assert not report.is_intact
    places = [finding.where for finding in report.findings]
    if table.name == "section":
        assert any(place.startswith("section") for place in places), str(report)
    elif column.primary_key or column.name == "id" or table.name in {"chain", "subject_key"}:
        assert any(table.name in place or place == "entry" for place in places), str(report)
    else:
        assert any(f"{table.name}.{column.name}" in place for place in places), str(report)


@pytest.mark.parametrize(("table", "column"), QUICK, ids=lambda item: item.name)
def test_a_change_of_a_column_of_each_table_is_found_and_named(gym: Gym, table: Table, column: Column[object]) -> None:
    change(gym, table, column)


@pytest.mark.long
@pytest.mark.parametrize(("table", "column"), tried_columns(), ids=lambda item: item.name)
def test_a_change_of_any_column_is_found_and_named(gym: Gym, table: Table, column: Column[object]) -> None:
    change(gym, table, column)


def change(gym: Gym, table: Table, column: Column[object]) -> None:
    gym.run(f"update {table.fullname} set {column.name} = {change_of(column)} where {row_of(table, 0)}")
    if table.name == "chain" and column.name == "name":
        with pytest.raises(SettingsInvalid, match="no chain is named 'main'"):
            gym.verify()
        return
    assert_named(gym.verify(), table, column)


@pytest.mark.long
@pytest.mark.parametrize(("table", "column"), [one for one in tried_columns() if one[0].name != "chain"], ids=lambda item: item.name)
def test_a_change_of_any_column_of_any_row_is_found_and_named(gym: Gym, table: Table, column: Column[object]) -> None:
    """The first row is tried by the test above; `chain` has no other."""
    with psycopg.connect(gym.url) as connection:
        (count,) = connection.execute(f"select count(*) from {table.fullname}".encode()).fetchone() or (0,)
    for number in range(1, count):
        try:
            gym.run(f"update {table.fullname} set {column.name} = {change_of(column)} where {row_of(table, number)}")
        except psycopg.errors.UniqueViolation:
            continue  # the schema itself refuses this one: another row has that key
        assert_named(gym.verify(), table, column)
        gym.restore((table.fullname,))


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in tried_tables() if name != "ledger.chain"])
def test_a_deleted_row_is_found(gym: Gym, name: str) -> None:
    table = metadata.tables[name]
    gym.run(f"delete from {name} where {row_of(table, 0)}")
    report = gym.verify()
    assert not report.is_intact
    words = " ".join(f"{finding.where} {finding.words}" for finding in report.findings)
    assert table.name in words or (table.name == "subject_key" and "has no key" in words), str(report)


def whole(report: Report) -> int:
    """How many entries are as they were written, or were erased lawfully."""
    return report.counts["intact"] + report.counts["erased"]


def test_a_deleted_entry_is_missing_and_its_neighbours_are_not_blamed(gym: Gym) -> None:
    gym.run("delete from ledger.entry where seq = 5", "delete from ledger.section where seq = 5")
    report = gym.verify()
    assert report.counts["missing"] == 1
    assert whole(report) == report.size - 1
    assert report.findings[0].words == "entry 5 is missing"


def test_an_entry_cut_out_with_its_gap_closed_is_found(unchecked: Gym) -> None:
    unchecked.run(
        "delete from ledger.entry where seq = 5",
        "delete from ledger.section where seq = 5",
        "update ledger.entry set seq = -seq where seq > 5",
        "update ledger.entry set seq = -seq - 1 where seq < 0",
        "update ledger.section set seq = -seq where seq > 5",
        "update ledger.section set seq = -seq - 1 where seq < 0",
    )
    report = unchecked.verify()
    assert report.counts["reordered"] == report.size - 5


def test_two_entries_that_changed_places_are_named(unchecked: Gym) -> None:
    swap = [
        f"update ledger.{table} set seq = {to} where seq = {of}"
        for table in ("entry", "section")
        for of, to in ((12, -1), (14, 12), (-1, 14))
    ]
    unchecked.run(*swap)
    report = unchecked.verify()
    assert report.counts["reordered"] == 2
    assert {finding.seq for finding in report.findings if finding.where == "entry.seq"} == {12, 14}
    assert whole(report) == report.size - 2


def test_an_inserted_section_is_found(gym: Gym) -> None:
    gym.run(
        "insert into ledger.section select chain_id, 1000000, is_personal, section_ids, salts, stored from ledger.section where seq = 1"
    )
    report = gym.verify()
    assert [(finding.where, finding.seq) for finding in report.findings] == [("section", 1000000)]


def test_an_inserted_entry_is_found(gym: Gym) -> None:
    copy = f"select chain_id, {gym.size()}, gen_random_uuid(), envelope, leaf, commits from ledger.entry where seq = 3"
    gym.run(f"insert into ledger.entry {copy}")
    report = gym.verify()
    assert report.counts["reordered"] == 1
    assert whole(report) == report.size - 1


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in PROJECTIONS if name != "precedent.control_epoch"])
def test_an_inserted_row_of_a_projection_is_extra(gym: Gym, name: str) -> None:
    table = metadata.tables[name]
    fresh = {column.name: change_of(column) for column in table.primary_key.columns if column.name != "chain_id"}
    if "seq" in table.columns:
        fresh |= {"seq": "seq + 1000000"}
    if "id" in table.columns:
        fresh |= {"id": "gen_random_uuid()"}
    values = ", ".join(fresh.get(column.name, column.name) for column in table.columns)
    gym.run(f"insert into {name} select {values} from {name} where {row_of(table, 0)}")
    report = gym.verify()
    assert report.counts["projection_extra"] == 1
    assert report.findings[0].where == table.name


def test_an_entry_rewritten_with_its_hash_is_a_fork(gym: Gym) -> None:
    gym.run(
        "update ledger.entry set envelope = set_byte(envelope, 33, get_byte(envelope, 33) # 1) where seq = 7",
        r"update ledger.entry set leaf = sha256('\x00'::bytea || envelope) where seq = 7",
    )
    report = gym.verify()
    assert report.counts["forked"] == 1
    (finding,) = [finding for finding in report.findings if finding.verdict == "forked"]
    assert (finding.seq, finding.words) == (8, "it continues another entry 7 than the one that stands there")


def test_a_cut_tail_leaves_traces_in_what_was_derived_from_it(gym: Gym) -> None:
    gym.run(f"delete from ledger.entry where seq >= {gym.size() - TAIL}")
    report = gym.verify()
    assert report.counts["stray"] == TAIL
    assert report.counts["projection_extra"] == TAIL


def test_a_wrong_verdict_is_told_in_words(gym: Gym) -> None:
    gym.run("update precedent.decisions set verdict = 'deny' where seq = 19")
    (finding,) = gym.verify().findings
    assert finding.where == "decisions.verdict"
    assert finding.words == f"decisions.verdict of {finding.entry_id} is 'deny', the entry says 'approve'"


def test_a_ruin_is_counted_whole_and_listed_in_part(gym: Gym) -> None:
    gym.run("update precedent.decisions set rule = 'x', reason = 'y'", "update precedent.events set actor = 'z'")
    gym.run("update ledger.section set salts = array_fill(decode(repeat('00', 32), 'hex'), array[cardinality(salts)])")
    report = gym.verify()
    assert report.counts["mutated"] == report.size
    assert len(report.findings) + report.left_out >= report.size


def test_a_tail_cut_with_all_its_traces_is_beyond_this_check_and_the_docs_say_so(gym: Gym) -> None:
    """Only a witness outside can tell. A test, so that the sentence goes when checkpoints come."""
    left = gym.size() - TAIL
    gym.run(*(f"delete from {table} where seq >= {left}" for table in ("precedent.events", "ledger.section", "ledger.entry")))
    report = gym.verify()
    assert report.is_intact, str(report)
    assert report.size == left
    text = (Path(__file__).resolve().parents[2] / "docs" / "ledger.md").read_text()
    assert "a tail cut off together with all that was derived from it" in text
