"""The tamper gym on the tree: each column of tiles and checkpoints is changed, and the record is rewritten with everything that hangs
on it: its tail cut with all traces, a branch put in its place, an older database brought back, heads signed again with another key.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from every_kind import ENTRIES, TAIL, first_of_each, plant
from exporting import Covered
from gym import Gym, change_of, open_gym, row_of
from sqlalchemy import Column, Table

from precedent.db.tables import metadata
from precedent.errors import LedgerBroken
from precedent.ledger.entry import Kind
from precedent.ledger.handover import KeySpan
from precedent.ledger.merkle import CompactRange
from precedent.ledger.note import Checkpoint, SigningKey, open_checkpoint
from precedent.ledger.tree_check import Witnesses

TREE = [(metadata.tables[name], column) for name in ("ledger.tile", "ledger.checkpoint") for column in metadata.tables[name].columns]
# Of a changed key the row is missing in one place and too many in another.
VERDICTS = {
    "tile.chain_id": {"missing", "stray"},
    "tile.level": {"missing", "stray"},
    "tile.number": {"missing", "stray"},
    "tile.hashes": {"mutated"},
    "tile.root": {"mutated"},
    "checkpoint.chain_id": {"stray"},
    "checkpoint.size": {"mutated"},
    "checkpoint.root": {"mutated"},
    "checkpoint.note": {"mutated"},
}


@pytest.fixture(scope="module")
def covered(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Covered:
    return plant(module_database_url, tmp_path_factory.mktemp("witnesses"))


@pytest.fixture(scope="module")
def whole(covered: Covered) -> Gym:
    """Heard are the signer's memory and the anchor."""

    def witnesses() -> Witnesses:
        last, note = covered.signer.last(), covered.anchor.read(covered.signer.origin)
        assert last
        assert note
        kept = open_checkpoint(note, covered.signer.verifier)
        return Witnesses((("the signer's memory", last), ("the anchor", kept)), (KeySpan(covered.signer.verifier, 0, None),))

    return open_gym(covered.url, witnesses)


@pytest.fixture
def gym(whole: Gym) -> Iterator[Gym]:
    yield whole
    whole.restore()


@pytest.fixture
def alone(gym: Gym) -> Gym:
    """The same where no witness is heard."""
    return Gym(gym.url)


def test_a_tree_that_nobody_touched_is_intact_and_says_who_was_heard(gym: Gym) -> None:
    report = gym.verify()
    assert report.is_intact, str(report)
    assert (report.covered, report.witnesses) == (ENTRIES, ("the signer's memory", "the anchor"))
    assert f"{ENTRIES} entries under checkpoints; compared with the signer's memory, the anchor" in str(report)


def wrong(gym: Gym) -> set[str]:
    """Which verdicts are wrong; what the projections say is left aside."""
    report = gym.verify()
    assert not report.is_intact
    return {verdict for verdict, count in report.counts.items() if count and verdict not in ("intact", "erased", "projection_checked")}


@pytest.mark.parametrize(
    ("table", "column", "number"),
    [*((*one, 0) for one in TREE), *(pytest.param(*one, 1, marks=pytest.mark.long) for one in TREE if one[0].name == "checkpoint")],
    ids=lambda item: getattr(item, "name", None),
)
def test_each_changed_column_of_the_tree_has_its_verdict(alone: Gym, table: Table, column: Column[object], number: int) -> None:
    """From the tree's own contradictions: no witness is needed."""
    alone.run(f"update {table.fullname} set {column.name} = {change_of(column)} where {row_of(table, number)}")
    assert wrong(alone) == VERDICTS[f"{table.name}.{column.name}"]
    assert any(table.name in finding.where for finding in alone.verify().findings)


def test_a_deleted_tile_is_missing_and_one_too_many_is_stray(alone: Gym) -> None:
    alone.run("delete from ledger.tile")
    assert wrong(alone) == {"missing"}
    alone.restore()
    alone.run("insert into ledger.tile select chain_id, 0, 7, hashes, root from ledger.tile")
    assert wrong(alone) == {"stray"}


def cut(gym: Gym, left: int) -> None:
    """Take the last entries with all their traces, checkpoints included: as an older copy of the database would be."""
    # All that came after `fill_with_every_kind` are events.
    gym.run(*(f"delete from {table} where seq >= {left}" for table in ("precedent.events", "ledger.section", "ledger.entry")))
    gym.run(f"delete from ledger.checkpoint where size > {left}", "delete from ledger.tile")


@pytest.mark.parametrize("left", [ENTRIES - TAIL - 100])
def test_a_restored_older_database_is_truncated_and_only_a_witness_can_tell(gym: Gym, alone: Gym, covered: Covered, left: int) -> None:
    cut(gym, left)
    assert alone.verify().is_intact
    report = gym.verify()
    assert wrong(gym) == {"truncated"}
    assert {finding.where for finding in report.findings} == {"the signer's memory", "the anchor"}
    assert report.counts["intact"] + report.counts["erased"] == left
    with pytest.raises(LedgerBroken, match="taken back"):
        covered.integrate()


def test_a_tail_cut_below_its_checkpoint_is_truncated_without_a_witness(alone: Gym) -> None:
    left = ENTRIES - 5
    alone.run(*(f"delete from {table} where seq >= {left}" for table in ("precedent.events", "ledger.section", "ledger.entry")))
    assert wrong(alone) == {"truncated"}


def branch(gym: Gym, seq: int) -> None:
    """Another history from `seq` on, in which everything fits: commitments, body root, leaves, links, projections."""
    stored = gym.read(seq)
    sections = {number: (bytes(32), text) for number, (_, text) in stored.sections.items()}
    gym.write_sections(seq, sections)
    gym.write_commits(seq, sections)
    gym.relink(seq, gym.write_body_root(stored, sections))


def grow(gym: Gym, key: SigningKey) -> None:
    """Tiles and checkpoints anew from what stands there, signed by `key`."""
    with psycopg.connect(gym.url) as connection:
        leaves = [leaf for (leaf,) in connection.execute("select leaf from ledger.entry order by seq")]
        sizes = [size for (size,) in connection.execute("select size from ledger.checkpoint order by size")]
        tree = CompactRange()
        for count, leaf in enumerate(leaves, 1):
            tree.append(leaf)
            if count == 256:
                made = (b"".join(leaves[:256]), tree.root())
                connection.execute("update ledger.tile set hashes = %s, root = %s", made)
            if count in sizes:
                note = key.sign(str(Checkpoint(key.verifier.name, count, tree.root())))
                connection.execute("update ledger.checkpoint set root = %s, note = %s where size = %s", (tree.root(), note, count))


@pytest.mark.parametrize("kind", [Kind.EVENT, *(pytest.param(kind, marks=pytest.mark.long) for kind in Kind if kind is not Kind.EVENT)])
def test_a_branch_in_which_all_fits_is_a_fork_of_what_was_signed(alone: Gym, kind: Kind) -> None:
    seq = first_of_each(alone.url)[kind]
    branch(alone, seq)
    report = alone.verify()
    assert report.counts["forked"] == 3, str(report)  # two checkpoints, and the entry where the branch begins
    assert (seq, "entry") in {(finding.seq, finding.where) for finding in report.findings}


def test_a_branch_with_a_tree_signed_by_its_own_key_is_a_fork_to_a_witness(gym: Gym, alone: Gym, covered: Covered) -> None:
    """Whoever steals the key, and holds the database, is still contradicted by what was kept elsewhere."""
    branch(gym, 100)
    grow(gym, SigningKey(covered.signer.origin, bytes(range(32))))
    assert alone.verify().is_intact
    assert wrong(gym) == {"forked"}
    assert {finding.where for finding in gym.verify().findings} == {"checkpoint"}


def test_heads_signed_again_with_another_key_have_a_wrong_signer(gym: Gym, covered: Covered) -> None:
    grow(gym, SigningKey(covered.signer.origin, bytes(32)))
    keys = Witnesses(keys=(KeySpan(covered.signer.verifier, 0, None),))
    assert wrong(Gym(gym.url, lambda: keys)) == {"wrong_signer"}
    assert gym.verify().counts["wrong_signer"] == 2


def test_one_damaged_entry_is_not_told_again_by_the_tree(gym: Gym) -> None:
    """The next entry says what its leaf was, and so the tree holds."""
    for damage in (
        "update ledger.entry set envelope = set_byte(envelope, 90, get_byte(envelope, 90) # 1) where seq = 100",
        "update ledger.entry set leaf = set_byte(leaf, 3, get_byte(leaf, 3) # 1) where seq = 100",
        "delete from ledger.entry where seq = 100",
    ):
        gym.run(damage)
        places = {finding.where.partition(".")[0] for finding in gym.verify().findings}
        assert places <= {"entry", "section", "events"}, str(gym.verify())
        gym.restore(("ledger.entry",))
