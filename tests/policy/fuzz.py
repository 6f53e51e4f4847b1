"""The fuzzer that is guided by coverage; it goes on until something is found, or as long as it is told.

`python -m tests.policy.fuzz loader FOLDER -max_total_time=600`, or `facts`. FOLDER is filled with inputs to begin with and keeps
those that reach something new; what follows are libFuzzer's own options. An input that crashes, or takes a second of the processor,
is written to a file and ends it with an exit code other than 0.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["precedent.policy", "precedent.ledger.canonical"]):
    from tests.policy.fuzzing import TARGETS, seeds


LIMIT_SECONDS = 1.0


def main(what: str, folder: str, options: list[str]) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for seed in seeds(what):
        (Path(folder) / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
    target = TARGETS[what]

    def timed(data: bytes) -> None:
        began = time.process_time()
        target(data)
        assert time.process_time() - began < LIMIT_SECONDS, "too slow"

    # libFuzzer's own limit is of the wall clock: on a busy machine it says nothing, and only ends what never would
    atheris.Setup([sys.argv[0], folder, "-timeout=60", "-max_len=16384", *options], timed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
