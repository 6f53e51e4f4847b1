"""Problems: every code that is raised is in the catalogue, and every type opens a page that says what it means."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import httpx2
import pytest
from running_api import INTERNAL_TOKEN

from api.problems import CATALOGUE, Problem, answer_error, problem_body, words_of
from precedent import errors
from precedent.errors import PrecedentError
from precedent.settings import project_root


def kinds(kind: type[PrecedentError]) -> Iterator[type[PrecedentError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds(below)


CORE = [kind for kind in kinds(PrecedentError) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", CORE, ids=lambda kind: str(kind.__name__))
def test_every_error_of_the_core_has_a_problem(kind: type[PrecedentError]) -> None:
    error = kind([]) if kind is errors.PolicyInvalid else kind("why")  # type: ignore[arg-type]
    problem = answer_error(error)
    assert problem.code in CATALOGUE
    assert 400 <= problem.status < 600
    assert problem_body(problem, "/x")["type"] == f"/problems/{problem.code}"
    if problem.status == 503:
        assert int(problem.headers["Retry-After"]) >= 1


def test_every_code_that_the_shell_raises_is_in_the_catalogue() -> None:
    raised = set()
    for path in (project_root() / "api").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Problem" and len(call.args) > 1:
                code = call.args[1]
                if isinstance(code, ast.Constant):
                    raised.add(code.value)
    assert {"BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "INTERNAL"} <= raised
    assert raised <= set(CATALOGUE)


def test_nothing_unexpected_is_told() -> None:
    problem = answer_error(RuntimeError("password=hunter2"))
    assert (problem.status, problem.code) == (500, "INTERNAL")
    assert "hunter2" not in str(problem_body(problem, "/x"))
    assert "hunter2" not in str(problem_body(answer_error(errors.LedgerBroken("hunter2")), "/x"))


def test_the_words_of_the_database_are_not_told() -> None:
    words = 'connection to server on socket "/var/lib/x/.s.PGSQL.5432" failed: password authentication failed for user "hunter2"'
    problem = answer_error(errors.DatabaseUnavailable(f"couldn't connect to the database: {words}"))
    assert (problem.status, problem.detail) == (503, "the database does not answer")
    assert words_of(errors.QueueFull("7 entries wait")) == "7 entries wait"


def test_a_problem_passes_as_it_is() -> None:
    problem = Problem(418, "CONFLICT", "tea")
    assert answer_error(problem) is problem


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_has_a_page(client: httpx2.Client, code: str) -> None:
    answer = client.get(f"/problems/{code}", headers={"authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert code in answer.text
    assert f"/problems/{code}" in client.get("/problems").text


def test_a_code_that_does_not_exist_has_no_page(client: httpx2.Client) -> None:
    answer = client.get("/problems/<script>alert(1)<")
    assert answer.status_code == 404
    assert "<script>" not in answer.text


def test_the_first_page_leads_everywhere(client: httpx2.Client) -> None:
    text = client.get("/", headers={"authorization": ""}).text
    for path in ("/docs", "/ready", "/metrics", "/problems"):
        assert f'href="{path}"' in text
        assert client.get(path).status_code == 200


def test_a_job_that_is_not_there_to_run_names_its_cause(client: httpx2.Client) -> None:
    answer = client.post("/jobs/aggregator/run?from=2026-01-02&to=2026-01-01", headers={"x-internal-token": INTERNAL_TOKEN})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/from")
    answer = client.post("/jobs/aggregator/run?from=2026-01-02", headers={"x-internal-token": INTERNAL_TOKEN})
    assert answer.status_code == 422
