"""The integrator on a real database: what it writes, how it starts again, and what it refuses to cover."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sample_entries as sample
from integrated import SEED, Integrated
from kept_ledger import ROLL_BACK

from precedent.db.engine import API, connect
from precedent.errors import DatabaseUnavailable, LedgerBroken
from precedent.ledger import integrate
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.integrate import Integrator
from precedent.ledger.merkle import CompactRange
from precedent.ledger.note import open_checkpoint
from precedent.ledger.signer import Signer
from precedent.ledger.store import chain_id_of

TRIGGERS_OFF = "alter table ledger.entry disable trigger user; "


class Tree(Integrated):
    """One that is looked into and tampered with."""

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement.encode()).fetchall()

    def run(self, statements: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statements.encode())

    def append(self, count: int) -> None:
        sample.append_all(self.url, [sample.event(n) for n in range(count)])

    def require_whole(self) -> None:
        """An independent look: the root over all stored leaves is the newest checkpoint's, in the note and the anchor too."""
        whole = CompactRange()
        for (leaf,) in self.rows("select leaf from ledger.entry order by seq"):
            assert isinstance(leaf, bytes)
            whole.append(leaf)
        ((size, root, note),) = self.rows("select size, root, note from ledger.checkpoint order by size desc limit 1")
        assert (size, root) == (whole.end, whole.root())
        head = open_checkpoint(str(note), self.signer.verifier)
        assert (head.size, head.root) == (whole.end, whole.root())
        assert FolderAnchor(self.folder / "anchor").read(head.origin) == note
        assert self.rows("select count(*) from ledger.tile where level = 0") == [(whole.end // 256,)]


@pytest.fixture
def tree(database_url: str, tmp_path: Path) -> Tree:
    return Tree(database_url, tmp_path)


def test_the_tree_grows_with_the_entries_and_through_restarts(tree: Tree) -> None:
    tree.integrate()
    assert tree.rows("select * from ledger.checkpoint") == []
    for count in (1, 254, 1, 1, 300, 512):
        tree.append(count)
        tree.integrate()
        tree.require_whole()
    tree.integrate()
    assert tree.rows("select count(*) from ledger.checkpoint") == [(6,)]


def test_a_backlog_is_integrated_in_batches(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrate, "BATCH_LEAVES", 200)
    tree.append(900)
    tree.integrate()
    tree.require_whole()
    assert tree.rows("select size from ledger.checkpoint order by size") == [(200,), (400,), (600,), (800,), (900,)]


def test_one_integrates_at_a_time_and_the_next_takes_over(tree: Tree) -> None:
    tree.append(3)
    leader, other = tree.integrator(), tree.integrator()
    leader.step()
    tree.append(3)
    assert other.step() is False
    assert tree.rows("select size from ledger.checkpoint") == [(3,)]
    leader.close()
    other.step()
    tree.require_whole()
    other.close()


def test_a_crash_after_the_signature_is_made_good(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.append(300)
    tree.integrate()
    tree.append(300)

    def crash(*_: object) -> None:
        raise psycopg.OperationalError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(integrate.tile_store, "write_tree", crash)
        with pytest.raises(psycopg.OperationalError):
            tree.integrate()
    last = tree.signer.last()
    assert last is not None
    assert last.size == 600
    tree.append(1)
    # Even where a batch ends before what was signed.
    monkeypatch.setattr(integrate, "BATCH_LEAVES", 7)
    tree.integrate()
    tree.require_whole()


def test_an_anchor_that_fails_stands_in_the_way_of_nothing_and_is_made_good(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.append(5)

    def full(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(FolderAnchor, "write", full)
        tree.integrate()
    assert FolderAnchor(tree.folder / "anchor").read(tree.signer.origin) is None
    assert tree.rows("select size from ledger.checkpoint") == [(5,)]
    tree.append(1)
    tree.integrate()
    tree.require_whole()


def test_a_signer_with_an_older_memory_or_none_is_led_on(tree: Tree) -> None:
    tree.append(400)
    tree.integrate()
    (memory,) = (tree.folder / "signer").glob("*.checkpoint")
    older = memory.read_bytes()
    tree.append(400)
    tree.integrate()
    memory.write_bytes(older)
    tree.append(300)
    tree.integrate()
    tree.require_whole()
    memory.unlink()
    tree.append(1)
    tree.integrate()
    tree.require_whole()


CHANGES = {
    "an envelope": "update ledger.entry set envelope = set_byte(envelope, 40, get_byte(envelope, 40) # 1) where seq = {seq}",
    "a leaf": "update ledger.entry set leaf = set_byte(leaf, 3, get_byte(leaf, 3) # 1) where seq = {seq}",
    "an entry and its leaf": "update ledger.entry set envelope = set_byte(envelope, 90, get_byte(envelope, 90) # 1) where seq = {seq}; "
    r"update ledger.entry set leaf = sha256('\x00'::bytea || envelope) where seq = {seq}",
    "a missing entry": "delete from ledger.entry where seq = {seq}",
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_entry_that_was_changed_before_it_was_covered_is_not_covered(tree: Tree, change: str) -> None:
    tree.append(300)
    tree.integrate()
    tree.append(20)
    tree.run(TRIGGERS_OFF + CHANGES[change].format(seq=310))
    with pytest.raises(LedgerBroken, match="is not integrated"):
        tree.integrate()
    assert tree.rows("select size from ledger.checkpoint") == [(300,)]


@pytest.mark.parametrize("seq", [256, 299])
def test_a_changed_leaf_at_the_right_edge_is_seen_at_a_restart(tree: Tree, seq: int) -> None:
    tree.append(300)
    tree.integrate()
    tree.run(TRIGGERS_OFF + CHANGES["a leaf"].format(seq=seq))
    tree.append(1)
    with pytest.raises(LedgerBroken, match="no longer have the root"):
        tree.integrate()


def test_an_entry_at_the_border_of_a_tile_must_be_continued_by_the_next(tree: Tree) -> None:
    tree.append(256)
    tree.integrate()
    tree.run(TRIGGERS_OFF + CHANGES["an entry and its leaf"].format(seq=255))
    tree.append(1)
    with pytest.raises(LedgerBroken, match="entry 256 is not integrated"):
        tree.integrate()


def test_a_cut_tail_is_a_rollback(tree: Tree) -> None:
    tree.append(300)
    tree.integrate()
    tree.run(TRIGGERS_OFF + "delete from ledger.entry where seq >= 290")
    with pytest.raises(LedgerBroken, match="covers 300 entries, but the database has 290"):
        tree.integrator().require_continued()


@pytest.mark.parametrize("kept", ["signer", "anchor"])
def test_a_database_that_was_taken_back_is_refused_by_each_witness_alone(tree: Tree, kept: str) -> None:
    tree.append(300)
    tree.integrate()
    tree.append(300)
    tree.integrate()
    tree.run(ROLL_BACK)
    forget = {"signer": "anchor", "anchor": "signer"}[kept]
    for path in (tree.folder / forget).iterdir():
        path.unlink()
    with pytest.raises(LedgerBroken, match="taken back"):
        tree.integrator().require_continued()
    tree.append(400)  # what an attacker, or a careless restore, would go on with
    with pytest.raises(LedgerBroken, match="rewritten"):
        tree.integrator().require_continued()
    with pytest.raises(LedgerBroken, match="rewritten"):
        tree.integrate()


def test_an_anchor_behind_the_database_must_be_its_beginning(tree: Tree) -> None:
    tree.append(300)
    tree.integrate()
    anchor = FolderAnchor(tree.folder / "anchor")
    note = anchor.read(tree.signer.origin)
    assert note is not None
    tree.append(700)
    tree.integrate()
    anchor.write(tree.signer.origin, note)
    tree.integrator().require_continued()
    forged = Signer(tree.signer.origin, SEED, tree.folder / "forged")
    head = open_checkpoint(note, forged.verifier)
    anchor.write(head.origin, forged.sign(replace(head, root=bytes(32)), []))
    with pytest.raises(LedgerBroken, match=r"first 300 entries are not those of the signed checkpoint in the anchor"):
        tree.integrator().require_continued()
    anchor.write(head.origin, "nothing\n")
    with pytest.raises(LedgerBroken, match="couldn't read the anchored checkpoint"):
        tree.integrator().require_continued()


def test_a_missing_tile_is_said(tree: Tree) -> None:
    tree.append(300)
    tree.integrate()
    tree.run("alter table ledger.tile disable trigger user; delete from ledger.tile")
    with pytest.raises(LedgerBroken, match="tiles of the tree of 300 entries are missing"):
        tree.integrate()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_database_takes_no_checkpoint_that_shrinks_or_goes_beyond_the_entries(tree: Tree, size: int) -> None:
    tree.append(3)
    tree.integrate()
    with connect(tree.url, API) as connection:
        chain_id = chain_id_of(connection, "main")
        with pytest.raises(psycopg.ProgrammingError) as caught:
            integrate.tile_store.write_tree(connection, chain_id, [], size, bytes(32), "note")
    assert caught.value.sqlstate == "PL007"


def test_beside_an_event_loop_it_covers_what_is_appended_and_ends_with_all_of_it(tree: Tree) -> None:
    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.02)

    async def body() -> None:
        integrator = tree.integrator()
        integrator.start()
        await asyncio.to_thread(tree.append, 10)
        await until(lambda: tree.rows("select max(size) from ledger.checkpoint") == [(10,)])
        # Its session is lost: it goes on with another.
        await asyncio.to_thread(
            tree.rows, "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = "
            "(select oid from pg_database where datname = current_database())"
        )  # fmt: skip
        await asyncio.to_thread(tree.append, 1)
        await until(lambda: tree.rows("select max(size) from ledger.checkpoint") == [(11,)])
        await asyncio.to_thread(tree.append, 5)
        await integrator.stop()

    asyncio.run(body())
    tree.require_whole()


def test_without_a_database_it_says_so(tmp_path: Path, tree: Tree) -> None:
    away = Integrator("postgresql://nobody@127.0.0.1:1/none", sample.CLOCK.new_id(), tree.signer, FolderAnchor(tmp_path))
    with pytest.raises(DatabaseUnavailable):
        away.step()
