"""No bytes crash the loader or the facts: mutated ones here in seconds, and, long, those of a fuzzer guided by coverage."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from precedent.settings import project_root
from tests.policy.fuzzing import EVERY_FACT, SMALL, SUITE, TARGETS, try_facts, try_loader

LONG_SECONDS = 120
PIECES = (
    b"&a ", b"*a", b"- ", b"? ", b"| ", b"{", b"}", b"[", b"]", b": ", b"#", b"\t", b"\n", b"\r\n", b"'", b'"', b"\\", b"%", b"~", b"!",
    b"<<", b"---\n", b"\xef\xbb\xbf", b"\xff", b"\x00", b"\xe2\x80\xa8", b"1e99", b"-0", b".5", b"0x1F", b"999999999999999999999", b"null",
    b"facts.", b"memory.", b"band.", b"outcome.", b"&&", b"||", b"(", b")", b".matches('", b" in ", b"size(", b"true",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, bases: tuple[bytes, ...]) -> bytes:
    """One of the bases with a few pieces put in, cut out or doubled."""
    text = draw(st.sampled_from(bases))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        put = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3), st.just(text[start:end] * 2)))
        text = text[:start] + put + text[end:]
    return text


@settings(max_examples=200)
@given(mutated((SMALL.encode(), SUITE.encode())))
def test_no_mutated_document_crashes_the_loader(data: bytes) -> None:
    try_loader(data)


@settings(max_examples=200)
@given(mutated(EVERY_FACT))
def test_no_mutated_body_crashes_the_facts(data: bytes) -> None:
    try_facts(data)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_crash_either(data: bytes) -> None:
    try_loader(data)
    try_facts(data)


@pytest.mark.long
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is made for Linux on x86-64")
@pytest.mark.parametrize("what", TARGETS)
def test_a_fuzzer_guided_by_coverage_finds_nothing(what: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.policy.fuzz", what, str(tmp_path / "corpus")]
    options = [f"-max_total_time={LONG_SECONDS}", f"-artifact_prefix={tmp_path}/"]
    run = subprocess.run(
        [*command, *options], cwd=project_root(), capture_output=True, text=True, errors="replace", timeout=2 * LONG_SECONDS + 60
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert "Done" in run.stderr, run.stderr[-4000:]
