"""`precedent …` for the shells of tests: imported once, forked for each command, since every start of its own imports for half a second.

`python warm_precedent.py serve SOCKET` says "ready" and serves one command after another until it is killed;
`python warm_precedent.py ask SOCKET ARGUMENT…` runs one with the asker's folder, environment, input and
outputs, and ends with its exit code.
"""

import json
import os
import socket
import sys
import traceback

INPUT_AND_OUTPUTS = (0, 1, 2)


def serve(address: str) -> None:
    from importlib import import_module

    from precedent.cli.main import COMMANDS

    for module, _ in COMMANDS.values():
        import_module(module)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            asker, _ = listener.accept()
            with asker:
                asker.sendall(str(run_forked(asker)).encode())


def run_forked(asker: socket.socket) -> int:
    """The exit code of what was asked for."""
    first, files, _, _ = socket.recv_fds(asker, 1 << 16, len(INPUT_AND_OUTPUTS))
    pieces = [first]
    while piece := asker.recv(1 << 16):
        pieces.append(piece)
    arguments, environment, folder = json.loads(b"".join(pieces))
    child = os.fork()
    if child == 0:
        for ours, theirs in zip(INPUT_AND_OUTPUTS, files, strict=True):
            os.dup2(theirs, ours)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        os._exit(run(arguments))
    for one in files:
        os.close(one)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(arguments: list[str]) -> int:
    from precedent.cli.main import main

    sys.argv = ["precedent", *arguments]
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 1


def ask(address: str, arguments: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        request = json.dumps([arguments, dict(os.environ), os.getcwd()]).encode()
        socket.send_fds(server, [request], INPUT_AND_OUTPUTS)
        server.shutdown(socket.SHUT_WR)
        return int(server.recv(16))


if __name__ == "__main__":
    role, where, *rest = sys.argv[1:]
    sys.exit(serve(where) if role == "serve" else ask(where, rest))
