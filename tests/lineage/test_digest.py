"""The format of a digest, by its own words, and a row that is proved to be among those stated."""

from __future__ import annotations

import hashlib
import random

from independent import root_from_inclusion
from test_independent import root_of

from precedent.lineage.digest import differences, digest_of, leaf_of, prove_row


def test_a_leaf_is_the_hash_of_its_fields_with_their_lengths() -> None:
    raw = b"\x00" + b"\x01\x00\x00\x00\x04caf\xc3"[:9] + b"\xa9"
    assert leaf_of(["caf\u00e9"]) == hashlib.sha256(b"\x00\x01\x00\x00\x00\x05caf\xc3\xa9").digest() != hashlib.sha256(raw).digest()
    assert leaf_of(["a", None]) == hashlib.sha256(b"\x00\x01\x00\x00\x00\x01a\x00").digest()


def test_rows_that_differ_in_nothing_but_where_a_field_ends_have_other_leaves() -> None:
    rows = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["abc", None], ["", "abc"]]
    assert len({leaf_of(row) for row in rows}) == len(rows)


def test_a_digest_is_the_textbook_root_and_of_no_rows_the_hash_of_nothing() -> None:
    leaves = sorted(leaf_of([str(number)]) for number in range(37))
    assert digest_of(b"".join(leaves)) == root_of(leaves)
    assert digest_of(b"") == hashlib.sha256().digest()


def test_every_row_proves_to_be_in_its_place() -> None:
    for count in (1, 2, 3, 8, 21):
        leaves = sorted(leaf_of([str(number)]) for number in range(count))
        joined = b"".join(leaves)
        for leaf in leaves:
            place, path = prove_row(joined, leaf)
            assert root_from_inclusion(leaf, place, count, path) == digest_of(joined)


def test_differences_count_rows_that_came_and_rows_that_went() -> None:
    one, two, three = sorted(leaf_of([name]) for name in ("one", "two", "three"))
    assert differences(one + two, one + two) == ({}, 0)
    assert differences(one + two, one + three) == ({three: 1}, 1)
    assert differences(one + one, one) == ({}, 1)
    lines = [leaf_of([str(random.Random(1).random())])] * 2
    assert differences(b"", b"".join(lines)) == ({lines[0]: 2}, 0)
