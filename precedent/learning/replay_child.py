"""A comparison in a process of its own, so that who decides beside it is not slowed: one JSON object in, one out.

`python -m precedent.learning.replay_child` reads the job from its standard input, where no list of processes shows it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import orjson

from precedent.errors import PrecedentError
from precedent.learning.blast import flip_report
from precedent.learning.replay_run import find_source
from precedent.learning.replay_worker import Window

NICENESS = 10


def main() -> None:
    os.nice(NICENESS)
    sys.stdout.buffer.write(orjson.dumps(answer_to(orjson.loads(sys.stdin.buffer.read()))))


def answer_to(job: dict[str, Any]) -> dict[str, Any]:
    """`{"report": …}`, or `{"code": …, "error": …}` where it could not be made."""
    url, chain = job["url"], job["chain"]
    try:
        candidate = find_source(url, chain, job["policy"])
        before = find_source(url, chain, job["before"]) if job["before"] else None
        window = Window(job["last"], job["from_us"], job["to_us"])
        report = flip_report(url, chain, candidate, window, before=before, limit=job["limit"], processes=1)
    except PrecedentError as error:
        return {"code": error.code, "error": str(error)}
    return {"report": report.as_dict()}


if __name__ == "__main__":
    main()
