from pathlib import Path

import pytest

from precedent.cli.loading.operation import Kind, Operation, operation
from precedent.cli.loading.spool import Spool
from precedent.cli.loading.window import BATCH_LIMIT_BYTES, batch_key, cut


def test_operations_come_back_by_time_then_kind_then_row(tmp_path: Path) -> None:
    added = [
        Operation(Kind.EVENT, 1, 20, b"a"),
        Operation(Kind.DECISION, 1, 20, b"bb"),
        Operation(Kind.OUTCOME, 1, 25, b""),
        Operation(Kind.EVENT, 2, 20, b"dddd"),
        Operation(Kind.EVENT, 3, 10, b"e"),
        Operation(Kind.OUTCOME, 3, 20, b"f"),
    ]
    with Spool(tmp_path) as spool:
        for one in added:
            spool.add(one)
        spool.finish()
        assert list(spool.in_order()) == [added[4], added[0], added[3], added[1], added[5], added[2]]
        assert list(spool.in_order(without=[0, 4])) == [added[3], added[1], added[5], added[2]]
        assert [spool.place_of(one.kind, one.row) for one in added] == list(range(6))
        assert spool.place_of(Kind.DECISION, 2) is None
        assert spool.place_of(Kind.EVENT, 9) is None


def test_rows_that_fall_back_are_refused_since_they_could_not_be_found(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.add(Operation(Kind.DECISION, 2, 0, b""))
        with pytest.raises(ValueError, match="row 2"):
            spool.add(Operation(Kind.EVENT, 2, 0, b""))


def test_an_empty_spool_has_nothing_in_order(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        assert list(cut(spool.in_order())) == []


def test_a_member_is_added_to_a_body_as_json() -> None:
    one = operation(Kind.DECISION, 1, 0, {"facts": {}})
    assert one.body_with("event_id", 'x"y') == b'{"facts":{},"event_id":"x\\"y"}'
    assert one.body_with("event_id", None) == b'{"facts":{}}'


def test_windows_end_at_the_limit_of_any_kind_and_at_the_batch_size() -> None:
    small = [Operation(kind, row, row, b"x") for row in range(5) for kind in (Kind.EVENT, Kind.DECISION)]
    assert [len(window) for window in cut(small, limit=2)] == [4, 4, 2]
    large = [Operation(Kind.EVENT, row, row, b"x" * (BATCH_LIMIT_BYTES // 2)) for row in range(3)]
    assert [len(window) for window in cut(large)] == [1, 1, 1]


def test_a_batch_key_follows_from_load_kind_and_rows_alone() -> None:
    keys = {
        batch_key("a", Kind.EVENT, [1, 2]),
        batch_key("b", Kind.EVENT, [1, 2]),
        batch_key("a", Kind.OUTCOME, [1, 2]),
        batch_key("a", Kind.EVENT, [12]),
    }
    assert len(keys) == 4
    assert batch_key("a", Kind.EVENT, [1, 2]) in keys
