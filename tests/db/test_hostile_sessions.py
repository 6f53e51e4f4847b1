"""What a session may set for itself changes nothing of what the append writes: it is refused, or it writes the same."""

from __future__ import annotations

import psycopg
import pytest
import sample_entries as sample

from precedent.db.engine import API, connect
from precedent.errors import LedgerBroken
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import append

SETTINGS = (
    "set search_path = pg_temp, public",
    "set timezone = 'Asia/Kathmandu'",
    "set datestyle = 'SQL, DMY'",
    "set intervalstyle = 'sql_standard'",
    "set bytea_output = 'escape'",
    "set standard_conforming_strings = off",
    "set array_nulls = off",
    "set transform_null_equals = on",
    "set extra_float_digits = -15",
    "set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off",
    "set plan_cache_mode = force_generic_plan",
    "set plan_cache_mode = force_custom_plan",
    "set row_security = off",
    "set lock_timeout = '1ms'",
    "set client_encoding = 'SQL_ASCII'",
    "create temp table chain (id uuid); create temp table entry (seq bigint); create temp view section as select 1",
    "create function pg_temp.sha256(bytea) returns bytea language sql as 'select $1'; set search_path = pg_temp, pg_catalog",
    "create function pg_temp.u8(integer) returns bytea language sql as 'select ''x''::bytea'; set search_path = pg_temp, pg_catalog",
    "create domain pg_temp.bytea as text; set search_path = pg_temp, pg_catalog",
)


@pytest.mark.parametrize("words", SETTINGS)
def test_what_a_session_sets_does_not_reach_the_record(module_database_url: str, words: str) -> None:
    drafts = [sample.event(1), sample.decision(2, as_of="2026-01-02T03:04:05.000006Z")]
    with connect(module_database_url, API) as connection:
        connection.execute(words.encode())
        try:
            append(connection, chain_id_of(connection, "main"), drafts)
            connection.commit()
        except (psycopg.Error, LedgerBroken):  # the latter where the client can't read the answer
            connection.rollback()
    report = verify_database(module_database_url, processes=1)
    assert report.is_intact, str(report)
