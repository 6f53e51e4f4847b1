"""Statements about derived rows on a real database: once for the same rows, after a crash, and what the way back names.

`decision_daily` and `entity_features` stand here as dbt would leave them, so that a test takes no seconds of dbt; the run of dbt
itself is in tests/dagster_project/test_lineage.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import sample_entries as sample
from exporting import Covered

from precedent.clock import SystemClock, to_instant
from precedent.db.engine import PIPELINE, connect
from precedent.db.store import read_ledger_size
from precedent.errors import FieldInvalid, NotFound
from precedent.learning.scorecard import Tally, cards_of
from precedent.learning.scorecard_store import write_cards
from precedent.ledger.rebuild import rebuild_projections
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.lineage.asset_store import ASSETS, read_columns, read_leaves, reading
from precedent.lineage.digest import leaf_of
from precedent.lineage.state import Maker, Stated, Upstream, note_due, read_prefix, state_due
from precedent.lineage.trace import Lineage, trace
from precedent.memory.calibrate import calibrate
from precedent.memory.embedder import TypedEmbedder
from precedent.memory.embedding import embed_days
from precedent.memory.snapshot import distill_days

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = FIRST.date()
DAYS = 3
CLOCK = SystemClock()
MAKER = Maker("test")


def as_of(day: int) -> str:
    return to_instant(int((FIRST + timedelta(days=day)).timestamp()) * 1_000_000)


@dataclass(frozen=True, slots=True)
class Ground:
    """A decision a day with its outcome the day after, and snapshots of the days."""

    url: str
    chain_id: UUID
    decision_ids: tuple[UUID, ...]

    def distill(self, days: int = DAYS) -> None:
        size = self.size()
        distill_days(self.url, self.chain_id, size, DAY, DAY + timedelta(days=days), datetime.now(UTC))

    def size(self) -> int:
        with connect(self.url, PIPELINE) as connection:
            return read_ledger_size(connection, "main")

    def note(self, name: str = "knowledge_snapshots", days: int = DAYS) -> None:
        note_due(self.url, self.chain_id, [name], [DAY + timedelta(days=number) for number in range(days)])

    def state(self, name: str = "knowledge_snapshots", maker: Maker = MAKER) -> Stated:
        with connect(self.url, PIPELINE) as connection:
            prefix = read_prefix(connection, self.chain_id, read_ledger_size(connection, "main"))
        return state_due(self.url, prefix, name, maker, CLOCK)

    def trace(self, name: str = "knowledge_snapshots", day: date = DAY, row: str | None = None) -> Lineage:
        return trace(self.url, "main", name, day, row)

    def execute(self, statement: str, *parameters: object) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode(), parameters)


@pytest.fixture
def ground(database_url: str) -> Ground:
    made = []
    for day in range(DAYS):
        decided = sample.decision(day, as_of=as_of(day))
        sample.append_all(database_url, [decided])
        sample.append_all(database_url, [sample.outcome(decided.entry_id, 500_000, as_of=as_of(day + 1))])
        made.append(decided.entry_id)
    with connect(database_url, PIPELINE) as connection:
        chain_id = chain_id_of(connection, "main")
    ground = Ground(database_url, chain_id, tuple(made))
    ground.distill()
    ground.note()
    return ground


def test_the_leaves_that_the_database_makes_are_those_of_the_format(ground: Ground) -> None:
    asset = ASSETS["knowledge_snapshots"]
    with reading(ground.url) as connection:
        columns = read_columns(connection, asset, {})
        texts = ", ".join(f"{name}::text" for name in columns)
        rows = connection.execute(f"select {texts} from precedent.knowledge_snapshots where period_start = %s".encode(), (DAY,)).fetchall()
        assert [None in row for row in rows] == [True], "a null is among them"
        assert read_leaves(connection, ground.chain_id, asset, DAY, columns, {}) == b"".join(sorted(map(leaf_of, rows)))


def test_the_same_rows_are_stated_once_and_other_rows_supersede(ground: Ground) -> None:
    before = ground.size()
    first = ground.state()
    assert (first.added_count, ground.size()) == (DAYS, before + DAYS)
    assert ground.trace().statement.ledger_size == before
    ground.note()
    again = ground.state()
    assert (again.added_count, again.partitions) == (0, first.partitions)
    # History that was imported later: the day comes out otherwise, and a snapshot more says so.
    sample.append_all(ground.url, [sample.decision(9, as_of=as_of(0))])
    ground.distill()
    ground.note()
    corrected = ground.state()
    assert corrected.added_count == 1
    told = ground.trace()
    assert (told.statement.rows, told.statement_count, told.findings) == (2, 2, ())
    assert told.statement.supersedes is not None
    assert verify_database(ground.url).is_intact


def test_a_run_that_crashed_before_its_entry_is_stated_by_the_next_of_whatever_days(ground: Ground) -> None:
    with pytest.raises(NotFound, match="due since"):
        ground.trace()
    # A run of another day finds what is due.
    note_due(ground.url, ground.chain_id, ["knowledge_snapshots"], [DAY + timedelta(days=DAYS)])
    assert ground.state().added_count == DAYS, "a day without rows, of which nothing was stated, needs no entry"
    assert ground.trace().due_since is None


def test_a_day_whose_rows_all_went_is_stated_as_empty(ground: Ground) -> None:
    ground.state()
    ground.execute("delete from precedent.knowledge_snapshots where period_start = %s", DAY)
    ground.note()
    assert ground.state().added_count == 1
    told = ground.trace()
    assert (told.statement.rows, told.findings) == (0, ())


def test_the_way_back_names_the_entries_and_proves_the_statement(ground: Ground, tmp_path: Path) -> None:
    ground.state()
    told = ground.trace(day=DAY + timedelta(days=1), row="finance-daily")
    # Of the day: its decision, and the outcome of the day before, which became known then.
    assert [(one.kind, one.seq, one.decision_id) for one in told.sources] == [
        ("outcome", 1, ground.decision_ids[0]),
        ("decision", 2, ground.decision_ids[1]),
    ]
    assert (told.findings, told.ledger.proof) == ((), None)
    assert told.row is not None
    assert told.row.place == 0
    Covered(ground.url, tmp_path).integrate()
    proved = ground.trace()
    assert proved.ledger.proof is not None
    assert proved.ledger.proof.startswith("c2sp.org/tlog-proof@v1")
    assert f"index {proved.statement.seq}" in proved.ledger.proof


def test_a_changed_row_is_named_and_a_missing_one_counted(ground: Ground) -> None:
    ground.state()
    ground.execute("update precedent.knowledge_snapshots set summary = 'All is well.' where period_start = %s", DAY)
    changed = ground.trace(row="finance-daily")
    assert len(changed.findings) == 1
    assert changed.findings[0].startswith("knowledge_snapshots of 2026-03-01: the row finance-daily/")
    assert changed.row is not None
    assert changed.row.place is None
    ground.execute("delete from precedent.knowledge_snapshots where period_start = %s", DAY)
    assert ground.trace().findings == ("knowledge_snapshots of 2026-03-01: 1 stated rows are gone",)
    assert ground.trace(day=DAY + timedelta(days=1)).findings == ()


def test_a_changed_input_is_named_by_its_partition(ground: Ground) -> None:
    ground.state()
    model = {"model": "text", "dimension": 1536}
    maker = Maker("text", [Upstream("knowledge_snapshots", days_before=1)], model)
    vector = f"[{','.join(['1'] * 1536)}]"
    ground.execute(
        """
        insert into precedent.snapshot_embeddings_1536 (chain_id, model_id, snapshot_id, input_digest, summary_vec)
        select chain_id, 'text', id, '', %s::vector from precedent.knowledge_snapshots
        """,
        vector,
    )
    ground.note("snapshot_embeddings")
    assert ground.state("snapshot_embeddings", maker).added_count == DAYS
    day = DAY + timedelta(days=1)
    told = ground.trace("snapshot_embeddings", day)
    assert [(one.stated.first, one.stated.last, one.stated.count) for one in told.inputs] == [("2026-03-01", "2026-03-02", 2)]
    assert told.findings == ()
    ground.execute("update precedent.knowledge_snapshots set written_by = 'nobody' where period_start = %s", DAY)
    assert ground.trace("snapshot_embeddings", day).findings == ("knowledge_snapshots of 2026-03-01, an input: its rows are not as stated",)


def test_a_damaged_statement_and_a_damaged_prefix_are_found(ground: Ground) -> None:
    ground.state()
    ground.execute("update precedent.asset_statements set digest = repeat('0', 64), statement = statement || '{\"rows\": 7}'")
    assert "states something else" in ground.trace().findings[0]
    rebuild_projections(ground.url)
    assert ground.trace().findings == ()
    ground.execute("alter table ledger.entry disable trigger all")
    ground.execute("update ledger.entry set envelope = set_byte(envelope, 113, 1 - get_byte(envelope, 113) %% 2) where seq = %s", 0)
    assert any("entry 0 is not integrated" in finding for finding in ground.trace().findings)


def test_what_nothing_is_stated_of_is_refused(ground: Ground) -> None:
    with pytest.raises(FieldInvalid, match="nothing is stated of 'fct_decisions'"):
        ground.trace("fct_decisions")
    ground.state()
    with pytest.raises(NotFound, match="has no row 'hr-daily'"):
        ground.trace(row="hr-daily")


def test_a_scorecard_that_the_outcomes_do_not_come_to_is_told_though_its_digest_fits(ground: Ground) -> None:
    """As from a panel that somebody changed: what is stated are the rows as they were written."""

    def score(reward_sum: str) -> tuple[str, ...]:
        node, action = sample.EXPERIMENT.split("/")
        card = cards_of([Tally(node, action, sample.POLICY, DAYS, DAYS, Decimal(reward_sum))])
        with connect(ground.url, PIPELINE) as connection:
            write_cards(connection, ground.chain_id, DAY, card, 2 * DAYS)
            connection.commit()
        note_due(ground.url, ground.chain_id, ["variant_scorecards"], [DAY])
        assert ground.state("variant_scorecards").added_count == 1
        return ground.trace("variant_scorecards", row=sample.EXPERIMENT).findings

    assert score("1.5") == ()
    key = f"{sample.EXPERIMENT}/{sample.POLICY}"
    assert score("2.5") == (f"{key}: reward_sum_ppm is 2500000, but the ledger's decisions come to 1500000",)
    ground.execute("update precedent.variant_scorecards set is_best = 0.5")
    assert ground.trace("variant_scorecards").findings == (f"variant_scorecards of {DAY}: the row {key} is not as stated",)


def test_a_calibration_by_command_is_stated_by_the_next_run_and_leads_to_what_it_was_measured_over(ground: Ground) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)

    def measure() -> tuple[int, Lineage]:
        embed_days(ground.url, ground.chain_id, TypedEmbedder(), ground.size(), start, start + timedelta(days=DAYS + 1))
        (made,) = calibrate(ground.url, ground.chain_id, lambda: datetime.now(UTC))
        added = ground.state("recall_probe").added_count
        with reading(ground.url) as connection:
            ((moment,),) = connection.execute("select max(measured_at)::text from precedent.recall_calibrations").fetchall()
        return added, ground.trace("recall_probe", made.measured_at.date(), f"{sample.EXPERIMENT}/{made.model_id}/{moment}")

    added, told = measure()
    cases = [(kind, seq) for seq, kind in enumerate(("decision", "outcome") * DAYS)]
    assert (added, told.findings, [(one.kind, one.seq) for one in told.sources]) == (1, (), cases)
    assert ground.state("recall_probe").added_count == 0
    # History that came later is no part of what was measured before, though it was known before.
    imported = sample.decision(9, as_of=as_of(0))
    sample.append_all(ground.url, [imported])
    sample.append_all(ground.url, [sample.outcome(imported.entry_id, 0, as_of=as_of(1))])
    embed_days(ground.url, ground.chain_id, TypedEmbedder(), ground.size(), start, start + timedelta(days=DAYS + 1))
    again = ground.trace("recall_probe", told.statement.day, told.row.name if told.row else None)
    assert [(one.kind, one.seq) for one in again.sources] == cases
    added, later = measure()
    assert (added, later.statement.supersedes, len(later.sources)) == (1, told.statement.id, len(cases) + 2)
