"""The long form of what `test_two_processes.py` shows of halts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from halts import halt_and_resume, require_halts_held
from running_api import ApiProcess, install, serve


@pytest.fixture(scope="module")
def three(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ApiProcess]]:
    folder = tmp_path_factory.mktemp("three")
    with serve(install(module_database_url, folder / "home"), folder, count=3) as servers:
        yield servers


@pytest.mark.long
def test_a_hundred_halts_hold_on_three_processes_that_hear_of_nothing(three: list[ApiProcess]) -> None:
    load, unheard_count = halt_and_resume(three, threads=8, times=100)
    assert unheard_count >= 100
    require_halts_held(three, load, times=100)
