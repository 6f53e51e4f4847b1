from pathlib import Path

from precedent.cli.importing.mapping import read_mapping
from precedent.cli.importing.rows import open_table
from precedent.cli.loading.operation import Kind
from precedent.cli.loading.spool import Spool
from precedent.cli.supply import Source

MAPPING = """\
mapping: loans
decision: {node: credit, at: asked.at, facts: {amount: {column: eur, type: decimal}, note: {column: note, optional: true}}}
"""


def fill(path: Path, limit: int | None = None) -> tuple[list[tuple[int, bytes]], list[tuple[int, str]]]:
    """The rows of the operations with their bodies, and the rejected rows with their codes."""
    with Spool(path.parent) as spool:
        rejected = Source(open_table(path), read_mapping(MAPPING, "m"), "m", limit).fill(spool, lambda count: None)
        spool.finish()
        made = list(spool.in_order())
    assert all(one.kind == Kind.DECISION for one in made)
    return [(one.row, one.body) for one in made], [(one.row, one.code) for one in rejected]


def test_rows_of_json_lines_become_operations_or_are_rejected_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"eur": 10.50, "asked": {"at": "2026-01-02T00:00:00Z"}}\n'
        "broken\n"
        '{"asked": {"at": "2026-01-02T00:00:00Z"}}\n'
        '{"eur": 7, "note": "x", "asked": {"at": "2026-01-01T00:00:00Z"}}\n'
    )
    made, rejected = fill(path)
    assert rejected == [(2, "MALFORMED"), (3, "EMPTY")]
    assert made == [
        (4, b'{"facts":{"amount":7,"note":"x"},"as_of":"2026-01-01T00:00:00.000000Z"}'),
        (1, b'{"facts":{"amount":10.50},"as_of":"2026-01-02T00:00:00.000000Z"}'),
    ]


def test_the_limit_counts_the_first_rows_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("eur,asked.at,note\n" + "".join(f"{number},2026-01-0{9 - number}T00:00:00Z,\n" for number in range(1, 9)))
    made, rejected = fill(path, limit=3)
    assert ([row for row, _ in made], rejected) == ([4, 3, 2], [])
