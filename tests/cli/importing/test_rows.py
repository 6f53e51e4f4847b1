import gzip
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from precedent.cli.importing.rows import FileUnreadable, Line, open_table


def lines_of(path: Path) -> list[Line]:
    return list(open_table(path).lines())


@pytest.mark.parametrize("is_compressed", [False, True])
def test_csv_fields_are_texts_and_rows_know_their_line(tmp_path: Path, is_compressed: bool) -> None:
    text = 'id,amount,"no\nte"\r\n1,10.10,"a\nb"\r\n\r\n2,"1,""0",\r\n3,007,x\r\n'
    path = tmp_path / ("a.csv.gz" if is_compressed else "a.csv")
    path.write_bytes(gzip.compress(text.encode()) if is_compressed else text.encode())
    assert open_table(path).columns == ["id", "amount", "no\nte"]
    assert [(line.number, *line.fields.values()) for line in lines_of(path)] == [
        (3, "1", "10.10", "a\nb"),
        (6, "2", '1,"0', ""),
        (7, "3", "007", "x"),
    ]


def test_a_csv_row_with_too_many_fields_is_a_fault_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,amount\n1,2\n2,3,4\n3,4,5,6\n4,5\n")
    assert [(line.number, line.fault is None) for line in lines_of(path)] == [(2, True), (3, False), (4, False), (5, True)]


def test_a_csv_row_with_too_few_fields_has_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,amount,note\n1,2\n")
    assert lines_of(path) == [Line(2, {"id": "1", "amount": "2", "note": ""})]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeffid,amount\n1,2\n")
    assert open_table(path).columns == ["id", "amount"]
    assert lines_of(path)[0].fields["id"] == "1"


def test_bytes_that_are_no_utf8_are_marked_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,note\n1,caf\xe9\n2,b\n")
    assert [line.fields["note"] for line in lines_of(path)] == ["caf\ufffd", "b"]


@pytest.mark.parametrize("text", ["", "\n", "id,id\n1,2\n", "id,\n1,2\n"])
def test_a_csv_file_without_a_header_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(FileUnreadable):
        open_table(path)


def test_a_quote_that_never_ends_makes_the_file_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,note\n1,"a\n2,b\n')
    with pytest.raises(FileUnreadable):
        lines_of(path)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_json_lines_keep_their_digits_and_faults_are_of_one_line(tmp_path: Path, is_compressed: bool) -> None:
    text = '{"a": 12000.10, "b": {"c": true, "d": null}}\n\nbroken\n{"a": 1, "a": 2}\n[1]\n{"a": 123456789012345678901.10, "e": [1]}\n'
    path = tmp_path / ("a.jsonl.gz" if is_compressed else "a.jsonl")
    path.write_bytes(gzip.compress(text.encode()) if is_compressed else text.encode())
    lines = lines_of(path)
    assert lines[0] == Line(1, {"a": "12000.10", "b.c": "true", "b.d": ""})
    assert [(line.number, line.fault is not None) for line in lines[1:4]] == [(3, True), (4, True), (5, True)]
    assert lines[4].fields["a"] == "123456789012345678901.10"


def test_parquet_values_are_texts_that_a_mapping_can_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    at = datetime(2011, 10, 1, 12, 30, 0, 250_000, tzinfo=UTC)
    pl.DataFrame(
        {"n": [1, None], "eur": [Decimal("12000.10"), Decimal("0.50")], "at": [at, at], "on": [date(2011, 10, 1)] * 2, "ok": [True, False]},
        schema_overrides={"eur": pl.Decimal(12, 2)},
    ).with_columns(pl.col("at").dt.convert_time_zone("Europe/Amsterdam")).write_parquet(path)
    assert lines_of(path) == [
        Line(1, {"n": "1", "eur": "12000.10", "at": "2011-10-01T12:30:00.250000Z", "on": "2011-10-01", "ok": "true"}),
        Line(2, {"n": "", "eur": "0.50", "at": "2011-10-01T12:30:00.250000Z", "on": "2011-10-01", "ok": "false"}),
    ]


def test_a_name_that_says_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_text("")
    with pytest.raises(FileUnreadable, match=r"\.csv"):
        open_table(path)
