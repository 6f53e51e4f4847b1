"""Becomes another program that ends when its parent does: `python -I -S launch.py PARENT_PID SIGNAL UID GID PROGRAM ARGUMENT…`.

A script of its own, started in a fresh process, because nothing else may run between fork and exec of a parent with threads.
`UID` and `GID` are -1 to keep the parent's. The kernel forgets the death signal when the user changes, so the user comes first.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    parent_pid, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if library is not None and library.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit(f"couldn't tie the process to its parent: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent_pid:
        sys.exit(1)  # the parent died before the signal was set: it would never come
    os.execv(arguments[4], arguments[4:])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
