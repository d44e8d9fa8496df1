"""Runs inside the sandbox, never outside: gives up rights, then runs /program.py or calls its function.

Argument: JSON of uid (null: stay who you are), limits (name to number) and function (empty: the program reads stdin).
A function gets a JSON value a line of stdin; its result is the JSON on stdout, and what it prints goes to stderr.

What LiveCodeBench's runner accepts runs here: its imports, its depth and digits, any exit status of a program that
reads stdin, and what only the body of a function may hold, since it makes one of such a program.
"""

import ast
import contextlib
import json
import math
import os
import resource
import site
import sys
import types

STARRED = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json"
)
PRELUDE = "\n".join(
    [f"from {name} import *" for name in [*STARRED.split(), "builtins", "typing"]]
    + [f"import {name}" for name in STARRED.split()]
)
DEPTH = 50_000  # calls within calls
DIGITS = 50_000  # of an integer as text
STACK = 1 << 30  # bytes; as many as calls of that depth need, where C code stands between them


def drop_rights(uid: int | None, limits: dict[str, int]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (STACK if hard == resource.RLIM_INFINITY else min(STACK, hard), hard))
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    for name, limit in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lower, lower))


def run_program(name: str) -> types.ModuleType:
    """Run the program as the module of that name."""
    site.setquit()  # exit() and quit(), which come with the site packages that are left out
    sys.argv = ["/program.py"]
    sys.setrecursionlimit(DEPTH)
    sys.set_int_max_str_digits(DIGITS)
    program = types.ModuleType(name)
    program.__file__ = "/program.py"
    sys.modules[name] = program
    with open("/program.py", encoding="utf-8") as file:
        source = file.read()
    exec(PRELUDE, program.__dict__)
    exec(translate(source), program.__dict__)
    return program


def translate(source: str) -> types.CodeType:
    """The program as a module or, where it returns or has nonlocal names, as the body of a function."""
    try:
        return compile(source, "/program.py", "exec")
    except SyntaxError:
        body = ast.parse(source).body
    module = ast.parse("def program(): pass\nprogram()")
    imports = [line for line in body if isinstance(line, ast.Import | ast.ImportFrom)]
    module.body[0].body = [line for line in body if line not in imports]  # type: ignore[attr-defined]
    module.body[:0] = imports
    return compile(module, "/program.py", "exec")


def call(function: str) -> None:
    answer = os.dup(1)
    os.dup2(2, 1)
    arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
    program = run_program("solution")
    owner = program.Solution() if hasattr(program, "Solution") else program
    result = getattr(owner, function)(*arguments)
    os.write(answer, json.dumps(plain(list(result) if isinstance(result, tuple) else result)).encode())


def plain(value: object) -> object:
    """The JSON value that it is equal to; NaN, which equals nothing, where there is none, as for a tuple in a list."""
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(part) for key, part in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if type(value).__module__ == "numpy" and getattr(value, "size", 0) == 1:
        # of one number: the shortest text is what a float of 32 bits is compared by
        shape, number = value.shape, value.item()  # type: ignore[attr-defined]
        number = float(str(value.flat[0])) if isinstance(number, float) else number  # type: ignore[attr-defined]
        return [number] if shape == (1,) else number if shape == () else math.nan
    for kind in (int, float):
        try:
            if kind(value) == value:  # type: ignore[call-overload]
                return kind(value)  # type: ignore[call-overload]
        except (TypeError, ValueError, OverflowError):
            continue
    return math.nan


def main() -> None:
    job = json.loads(sys.argv[1])
    drop_rights(job["uid"], job["limits"])
    if job["function"]:
        call(job["function"])
        return
    with contextlib.suppress(SystemExit):
        run_program("__main__")


if __name__ == "__main__":
    main()
