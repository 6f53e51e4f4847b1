"""Erasure on a real database: entry first, all or nothing, by one path alone, and lawful to whoever verifies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
import sample_entries as sample

from precedent.db.engine import API, ERASER, OWNER, connect
from precedent.errors import ErasureBarred, LedgerBroken, SubjectNotFound
from precedent.ledger import erase, erase_store
from precedent.ledger.entry import Appended, Draft, NewSubject, SubjectMoved
from precedent.ledger.erase import apply_missed, erase_subject, plan_erasure
from precedent.ledger.erasure_memory import FolderErasures, Wanted
from precedent.ledger.keyring import seal
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import append


@pytest.fixture
def url(database_url: str) -> str:
    sample.fill(database_url)
    return database_url


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection]:
    with connect(url, autocommit=True) as administrator:
        yield administrator


@pytest.fixture
def chain_id(connection: psycopg.Connection) -> UUID:
    return chain_id_of(connection, "main")


@pytest.fixture
def memory(tmp_path: Path) -> FolderErasures:
    return FolderErasures(tmp_path / "anchor")


def wanted(chain_id: UUID, subject_id: UUID) -> Wanted:
    return Wanted(chain_id, subject_id, "asked by the person", "test", "2026-11-25T00:00:00.000000Z")


def counts(connection: psycopg.Connection) -> tuple[int, ...]:
    """Entries, personal sections, keys, mappings."""
    tables = ("ledger.entry", "ledger.section where is_personal", "ledger.subject_key", "precedent.subjects", "precedent.erasures")
    return tuple(connection.execute(f"select count(*) from {table}".encode()).fetchone()[0] for table in tables)  # type: ignore[index]


def another(subject_id: UUID, *, new: NewSubject | None = None, **options: bytes) -> Draft:
    """One more personal event of a subject that is known, or brings its key."""
    draft = sample.event(7, personal=seal(os.urandom(32), uuid4(), b"{}", os.urandom(12)), subject=NewSubject(subject_id, b"", "", b""))
    return Draft(draft.entry_id, draft.kind, draft.sections, subject=new, **options)


def test_an_erasure_destroys_sections_key_and_mapping_and_verifies_as_lawful(
    connection: psycopg.Connection, url: str, chain_id: UUID, memory: FolderErasures
) -> None:
    subject_id = sample.subject_of(url, 2)
    (second,) = sample.append_all(url, [another(subject_id)])
    before = counts(connection)
    erased = erase_subject(url, chain_id, wanted(chain_id, subject_id), memory, sample.CLOCK)
    assert erased.section_count == 2
    entries, sections, keys, mappings, erasures = before
    assert counts(connection) == (entries + 1, sections - 2, keys - 1, mappings - 1, erasures + 1)
    core = connection.execute(
        "select convert_from(stored[1], 'UTF8')::jsonb from ledger.section where seq = %s", (erased.place.seq,)
    ).fetchone()
    assert core is not None
    assert core[0]["op"] == "erase"
    assert core[0]["subject_id"] == str(subject_id)
    assert core[0]["erased"] == sorted(core[0]["erased"])
    assert [second.seq, 3] in core[0]["erased"]
    report = verify_database(url, processes=2)
    assert report.is_intact, str(report)
    assert (report.counts["erased"], report.counts["intact"]) == (2, entries - 1)
    assert [finding.words for finding in report.lawful] == [f"erased lawfully by entry {erased.place.seq}"] * 2
    with pytest.raises(SubjectNotFound, match=f"it was erased by entry {erased.place.seq} on 20"):
        erase_subject(url, chain_id, wanted(chain_id, subject_id), memory, sample.CLOCK)


def test_what_is_deleted_by_another_hand_is_missing_and_what_comes_back_is_named(connection: psycopg.Connection, url: str) -> None:
    kept = connection.execute("select * from ledger.section where is_personal order by seq limit 2").fetchall()
    erased = sample.erase_person(url, 0)
    connection.execute("alter table ledger.section disable trigger user")
    connection.execute("delete from ledger.section where is_personal and seq = %s", (kept[1][1],))
    report = verify_database(url, processes=1)
    assert (report.counts["erased"], report.counts["missing"]) == (1, 1)
    assert [(finding.seq, finding.words) for finding in report.findings] == [(kept[1][1], "it is missing")]
    for row in kept:
        connection.execute("insert into ledger.section values (%s, %s, %s, %s, %s, %s)", row)
    report = verify_database(url, processes=1)
    assert [str(finding) for finding in report.findings] == [
        f"seq {kept[0][1]} stray: section personal: it stands there, though entry {erased.place.seq} erased it"
    ]


def test_nobody_deletes_or_changes_by_hand_what_no_erasure_lists(connection: psycopg.Connection, url: str, chain_id: UUID) -> None:
    sample.erase_person(url, 0)
    other = sample.subject_of(url, 1)
    others_seq = connection.execute("select ledger.personal_seqs(%s, %s)", (chain_id, other)).fetchone()
    before = counts(connection)
    # A row of the projection that the record does not bear out convinces nobody.
    forged = f"insert into precedent.erasures values ('{chain_id}', 999, gen_random_uuid(), '{other}', 1, '', '', now())"
    pointing = f"insert into precedent.erasures select chain_id, seq + 1, entry_id, '{other}', 1, '', '', now() from precedent.erasures"
    for role in (None, OWNER):
        for preparation in ("select 1", forged, pointing):
            for words in (
                "delete from ledger.section where is_personal",
                f"delete from ledger.section where is_personal and seq = {others_seq[0] if others_seq else -1}",
                "delete from ledger.section where not is_personal and seq = 0",
                "delete from ledger.subject_key",
                f"delete from ledger.subject_key where subject_id = '{other}'",
                "update ledger.section set salts = salts where is_personal",
                "update ledger.subject_key set wrapped = wrapped",
                "update ledger.subject_key set wrapped = set_byte(wrapped, 0, 1), epoch_key = 'epoch-2027-01'",
            ):
                with connect(url, role) as hand:
                    hand.execute(preparation.encode())
                    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is never changed"):
                        hand.execute(words.encode())
                    hand.rollback()
    assert counts(connection) == before


def test_an_erasure_that_lists_anothers_sections_lets_nothing_go(connection: psycopg.Connection, url: str, chain_id: UUID) -> None:
    """Whoever may append as they like can record such an entry; the rows stay."""
    one, other = sample.subject_of(url, 0), sample.subject_of(url, 1)
    seqs = [seq for (seq,) in connection.execute("select ledger.personal_seqs(%s, %s)", (chain_id, other))]
    sample.append_all(url, [sample.bar("erase", subject_id=str(one), erased=[[seq, 3] for seq in seqs])])
    with connect(url) as hand, pytest.raises(psycopg.errors.InsufficientPrivilege, match="delete refused"):
        hand.execute("delete from ledger.section where is_personal and seq = any (%s)", (seqs,))


def test_a_process_that_still_has_the_key_of_an_erased_subject_starts_over(url: str, chain_id: UUID) -> None:
    subject_id = sample.subject_of(url, 0)
    brought = NewSubject(subject_id, sample.KEYRING.lookup_hash("customer", "person-0"), *sample.KEYRING.wrap(bytes(32)))
    sample.erase_person(url, 0)
    with connect(url, API) as api:
        answers = append(api, chain_id, [another(subject_id), another(subject_id, new=brought), another(uuid4()), sample.event(1)])
    assert [type(answer) for answer in answers] == [SubjectMoved, SubjectMoved, SubjectMoved, Appended]
    with connect(url) as administrator:
        assert erase_store.living_subjects(administrator, chain_id, [subject_id]) == []
        assert erase_store.find_subject(administrator, chain_id, brought.lookup_hash) is None


def test_an_entry_added_between_the_plan_and_the_lock_is_erased_too(
    url: str, chain_id: UUID, memory: FolderErasures, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject_id = sample.subject_of(url, 0)
    original, added = erase_store.erase, []

    def late(connection: psycopg.Connection, chain: UUID, draft: Draft) -> Appended:
        if not added:
            added.extend(sample.append_all(url, [another(subject_id)]))
        return original(connection, chain, draft)

    monkeypatch.setattr(erase.erase_store, "erase", late)
    erased = erase_subject(url, chain_id, wanted(chain_id, subject_id), memory, sample.CLOCK)
    assert erased.section_count == 2
    assert verify_database(url, processes=1).counts["erased"] == 2


def test_a_repeat_of_the_erasing_call_finds_what_the_first_recorded(connection: psycopg.Connection, url: str, chain_id: UUID) -> None:
    """The answer may be lost in the commit."""
    subject_id = sample.subject_of(url, 0)
    seqs = erase_store.personal_seqs(connection, chain_id, subject_id)
    draft = sample.bar("erase", subject_id=str(subject_id), erased=[[seq, 3] for seq in seqs])
    with connect(url, ERASER) as eraser:
        first = erase_store.erase(eraser, chain_id, draft)
    with connect(url, ERASER) as eraser:
        assert erase_store.erase(eraser, chain_id, draft) == first


def test_a_crash_before_the_commit_changes_nothing_and_the_next_start_finishes(
    connection: psycopg.Connection, url: str, chain_id: UUID, memory: FolderErasures, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject_id, before = sample.subject_of(url, 0), counts(connection)
    original = erase_store.erase

    class Crash(BaseException):
        pass

    def dying(connection: psycopg.Connection, chain: UUID, draft: Draft) -> Appended:
        original(connection, chain, draft)
        raise Crash

    monkeypatch.setattr(erase.erase_store, "erase", dying)
    with pytest.raises(Crash):
        erase_subject(url, chain_id, wanted(chain_id, subject_id), memory, sample.CLOCK)
    assert counts(connection) == before
    assert verify_database(url, processes=1).is_intact
    monkeypatch.setattr(erase.erase_store, "erase", original)
    assert [one.subject_id for one in apply_missed(url, chain_id, memory, sample.CLOCK)] == [subject_id]
    assert apply_missed(url, chain_id, memory, sample.CLOCK) == []


def test_a_hold_bars_an_erasure_until_it_is_lifted_or_ends(
    connection: psycopg.Connection, url: str, chain_id: UUID, memory: FolderErasures
) -> None:
    subject_id, before = sample.subject_of(url, 0), counts(connection)
    held = sample.bar("hold", subject_id=str(subject_id), reason="case 12", until="2031-05-06T00:00:00.000000Z")
    sample.append_all(url, [held, sample.bar("hold", subject_id=str(subject_id), until="2020-01-01T00:00:00.000000Z")])
    assert [rule for rule, _ in plan_erasure(connection, chain_id, subject_id).bars] == [f"legal hold {held.entry_id} (case 12)"]
    with pytest.raises(ErasureBarred, match=rf"legal hold {held.entry_id} \(case 12\) until 2031-05-06T00:00:00"):
        erase_subject(url, chain_id, wanted(chain_id, subject_id), memory, sample.CLOCK)
    assert memory.read(chain_id) == []
    assert counts(connection)[1:] == before[1:]
    sample.append_all(url, [sample.bar("lift", hold_id=str(held.entry_id))])
    assert erase_subject(url, chain_id, wanted(chain_id, subject_id), memory, sample.CLOCK).section_count == 1


def test_a_hold_placed_at_the_last_moment_bars_it_inside_the_transaction(
    connection: psycopg.Connection, url: str, chain_id: UUID, memory: FolderErasures, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject_id, before = sample.subject_of(url, 0), counts(connection)
    original = erase_store.erase

    def late(connection: psycopg.Connection, chain: UUID, draft: Draft) -> Appended:
        sample.append_all(url, [sample.bar("hold", subject_id=str(subject_id))])
        return original(connection, chain, draft)

    monkeypatch.setattr(erase.erase_store, "erase", late)
    with pytest.raises(ErasureBarred, match=r"is kept: legal hold .* until it is lifted"):
        erase_subject(url, chain_id, wanted(chain_id, subject_id), memory, sample.CLOCK)
    assert memory.read(chain_id) == []
    assert counts(connection)[1:] == before[1:]


def test_retention_counts_from_when_it_happened_and_the_nearest_rule_decides(
    connection: psycopg.Connection, url: str, chain_id: UUID, memory: FolderErasures
) -> None:
    subject_id = sample.subject_of(url, 0)
    sample.append_all(url, [sample.bar("retain", node="events", action="*", days=3650)])
    with pytest.raises(ErasureBarred, match=r"retention of events/\* for 3650 days until 20"):
        erase_subject(url, chain_id, wanted(chain_id, subject_id), memory, sample.CLOCK)
    sample.append_all(url, [sample.bar("retain", node="events", action="DiscountRequested", days=0)])
    assert plan_erasure(connection, chain_id, subject_id).bars == ()
    sample.append_all(url, [sample.bar("retain", node="finance", action="*", days=3650)])
    assert plan_erasure(connection, chain_id, subject_id).bars == (), "no decision concerns this person"


def test_the_body_of_an_erased_request_leaves_no_hash_and_its_key_stays_claimed(
    connection: psycopg.Connection, url: str, chain_id: UUID
) -> None:
    subject_id = sample.subject_of(url, 0)
    sample.append_all(
        url, [another(subject_id, claim=b"of the person", fingerprint=b"body"), sample.event(1, claim=b"other", fingerprint=b"body")]
    )
    sample.erase_person(url, 0)
    rows = connection.execute("select claim, fingerprint from precedent.idempotency order by claim").fetchall()
    assert rows == [(b"of the person", b""), (b"other", b"body")]


def test_the_eraser_has_no_other_way_to_append(url: str, chain_id: UUID) -> None:
    with connect(url, ERASER) as eraser, pytest.raises(psycopg.errors.InsufficientPrivilege):
        append(eraser, chain_id, [sample.bar("hold", node="hr")])
    for call in (erase_store.erase, erase_store.bar):
        draft = sample.bar("other", subject_id=str(uuid4()))
        with connect(url, ERASER) as eraser, pytest.raises(psycopg.ProgrammingError, match="the entry says other"):
            call(eraser, chain_id, draft)


def test_what_was_to_be_erased_is_remembered_through_a_torn_line(tmp_path: Path) -> None:
    memory, chain_id, first, second = FolderErasures(tmp_path), uuid4(), uuid4(), uuid4()
    assert memory.read(chain_id) == []
    memory.remember(wanted(chain_id, first))
    path = next(tmp_path.glob("*.erasures"))
    with path.open("ab") as file:
        file.write(b'{"op": "erase", "subject_id": "')
    assert [one.subject_id for one in memory.read(chain_id)] == [first]
    memory.remember(wanted(chain_id, second))
    assert memory.read(chain_id) == [wanted(chain_id, first), wanted(chain_id, second)]
    memory.forget(wanted(chain_id, first))
    assert [one.subject_id for one in memory.read(chain_id)] == [second]
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(path.read_bytes().replace(str(second).encode(), b"x"))
    with pytest.raises(LedgerBroken, match=r"a line of .* was changed"):
        memory.read(chain_id)
