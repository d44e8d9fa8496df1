"""What a hostile program can do: nothing. Each test says what is made of it."""

import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from kvarena.tasks.sandbox import NoSandbox, Sandbox, probe


def left_over(sandbox: Sandbox) -> list[str]:
    """Command lines of processes that live on a while after a program, found by its limit of memory."""
    end = time.perf_counter() + 2
    while (lines := _running(f'"RLIMIT_AS": {sandbox.memory_mb << 20}')) and time.perf_counter() < end:
        time.sleep(0.05)
    return lines


def _running(word: str) -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if word in line]


def test_a_program_reads_stdin_and_prints(sandbox):
    assert sandbox.run("print(input()[::-1])", "abc\n") == ("cba\n", "")


def test_input_can_be_opened_by_name(sandbox):
    assert sandbox.run("print(sum(map(int, open('/dev/stdin').read().split())))", "1 2\n3\n") == ("6\n", "")


def test_names_that_contest_sites_import_beforehand_are_there(sandbox):
    program = "from __future__ import annotations\nprint(deque([1]), gcd(4, 6), List, bisect_left([1], 1))\nexit()"
    assert sandbox.run(program, "") == ("deque([1]) 2 typing.List 0\n", "")


def test_every_name_of_the_releases_imports_is_there(sandbox):
    """Each of these is what the import string of LiveCodeBench's runner leaves behind."""
    program = """
setrecursionlimit(40_000)
print(stdin.readline().strip(), deepcopy([1]), mean([1, 3]), loads('[1]'), StringIO('x').read(), itemgetter(0)([7]))
print(datetime.date(2024, 1, 2), bisect.bisect([1], 1), copy.copy([2]), re.sub('a', 'b', 'a'), io.StringIO is StringIO)
print(accumulate, cache, lru_cache, inf, ascii_lowercase[:3], randint(5, 5), Counter('a'), heapify, open, pow(2, 3, 5))
"""
    stdout, fault = sandbox.run(program, "hi\n")
    assert (stdout.splitlines()[:2], fault) == (["hi [1] 2 [1] x 7", "2024-01-02 1 [2] b True"], "")
    assert stdout.endswith("<built-in function heapify> <built-in function open> 3\n")


def test_integers_have_as_many_digits_as_in_the_release(sandbox):
    assert sandbox.run("print(10**5000)", "").stdout == "1" + "0" * 5000 + "\n"
    assert sandbox.run("print(int(input()) + 1)", "9" * 49_999).stdout == "1" + "0" * 49_999 + "\n"
    assert "Exceeds the limit (50000 digits)" in sandbox.run("print(10**50_000)", "").fault


@pytest.mark.parametrize("depth", [18_000, 24_000])
def test_deep_recursion_through_c_has_a_stack(sandbox, depth):
    program = f"@lru_cache(None)\ndef f(n): return f(n - 1) + 1 if n else 0\nprint(f({depth}))"
    assert sandbox.run(program, "") == (f"{depth}\n", "")


@pytest.mark.parametrize(
    "program",
    [
        "n = int(input())\nif n:\n    print(n)\n    return\nprint('no')",
        "def add():\n    nonlocal n\n    n += 1\nn = int(input()) - 1\nadd()\nprint(n)",
        "import sys\nprint(input())\nsys.exit(3)",
        "print(input())\nexit('done')",
        "def main():\n    print(input())\nif __name__ == '__main__':\n    main()",
    ],
    ids=["return", "nonlocal", "status", "message", "guard"],
)
def test_what_the_release_runs_as_a_function_ends_in_order(sandbox, program):
    assert sandbox.run(program, "5\n") == ("5\n", "")


def test_a_called_program_runs_no_main_block(sandbox):
    program = "def double(a): return 2 * a\nif __name__ == '__main__':\n    print(double(int(input())))"
    assert sandbox.run(program, "4", "double") == ("8", "")


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ("np.int64(5)", "5"),
        ("[np.int32(5), np.bool_(True), np.float64(0.5), np.float32(0.1)]", "[5, true, 0.5, 0.1]"),
        ("(1, 2)", "[1, 2]"),
        ("np.array([5])", "[5]"),
        ("Counter('aa')", '{"a": 2}'),
        ("10**5000", "1" + "0" * 5000),
        # equal to no JSON value
        ("[(1, 2)]", "[NaN]"),
        ("{1: 2}", "NaN"),
        ("{1, 2}", "NaN"),
        ("np.array([1, 2])", "NaN"),
        ("deque([1])", "NaN"),
    ],
)
def test_a_result_is_what_it_is_equal_to(sandbox, result, value):
    imports = "import numpy as np\n" if "np." in result else ""
    assert sandbox.run(f"{imports}def f(): return {result}", "", "f") == (value, "")


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_only_a_newline_ends_a_line_of_input(sandbox, sign):
    program = "def f(text, number): return len(text) + number"
    assert sandbox.run(program, json.dumps(f"a{sign}b", ensure_ascii=False) + "\n4", "f") == ("7", "")


def test_numpy_is_there(sandbox):
    assert sandbox.run("import numpy\nprint(numpy.arange(3).sum())", "") == ("3\n", "")


def test_a_function_gets_values_and_returns_one(sandbox):
    program = "class Solution:\n  def add(self, a: List[int], b: int):\n    print('noise')\n    return sum(a), b"
    assert sandbox.run(program, "[1, 2]\n3", "add") == ("[3, 3]", "")
    assert sandbox.run("def add(a, b): return a + b", '"x"\n"y"', "add") == ('"xy"', "")


def test_a_program_is_its_own_main_module(sandbox):
    assert sandbox.run("import __main__\nx = 5\nif __name__ == '__main__': print(__main__.x)", "") == ("5\n", "")


def test_hashes_are_the_same_in_every_run(sandbox):
    program = "print(hash('a'))"
    assert sandbox.run(program, "") == sandbox.run(program, "")


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("import os; os._exit(3)", "exit code 3: "),
        ("print(1 / 0)", "exit code 1: ZeroDivisionError: division by zero"),
        ("print(", "exit code 1: SyntaxError: '(' was never closed"),
        ("raise ValueError('a\\nb')", "exit code 1: b"),
    ],
    ids=["exit", "exception", "syntax", "lines"],
)
def test_a_program_that_fails_says_how(sandbox, program, fault):
    assert sandbox.run(program, "").fault == fault


def test_a_program_of_null_bytes_fails(sandbox):
    assert sandbox.run("x = '\0'", "").fault.endswith("source code string cannot contain null bytes")


def test_an_endless_loop_ends(sandbox):
    assert sandbox.run("while True: pass", "").fault == "timeout"


def test_a_sleeper_ends_with_all_that_it_started(sandbox):
    start = time.perf_counter()
    program = "import os, time\nos.fork()\nprint('up', flush=True)\ntime.sleep(99)"
    assert sandbox.run(program, "") == ("up\nup\n", "timeout")
    assert time.perf_counter() - start < 6
    assert left_over(sandbox) == []


def test_a_fork_bomb_stops_at_the_limit(sandbox):
    program = """
import os, time
children = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(99)
        children += 1
except BlockingIOError:
    print(children, flush=True)
    os._exit(0)
"""
    stdout, fault = sandbox.run(program, "")
    assert fault == ""
    assert 1 <= int(stdout) < 8
    assert left_over(sandbox) == []


def test_a_fork_bomb_of_all_children_is_killed(sandbox):
    assert sandbox.run("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "").fault == "timeout"
    assert left_over(sandbox) == []


def test_a_memory_bomb_gets_no_memory(sandbox):
    assert sandbox.run("x = bytearray(2 << 30)", "").fault == "exit code 1: MemoryError"


def test_ten_gigabytes_of_output_are_cut_off(sandbox):
    program = "import sys\nfor _ in range(10_000): sys.stdout.write('x' * 1_000_000)"
    stdout, fault = sandbox.run(program, "")
    assert fault == "more than 1 MB of output"
    assert len(stdout) <= 1 << 20


def test_the_machines_files_are_not_there(sandbox):
    assert "FileNotFoundError" in sandbox.run("print(open('/etc/passwd').read())", "").fault
    home = sandbox.run("import os; print(sorted(os.listdir('/')))", "")
    names = {"dev", "driver.py", "etc", "lib", "lib64", "proc", "program.py", "python", "tmp", "usr"}
    assert set(eval(home.stdout)) <= names
    assert sandbox.run("import os; print(os.listdir('/tmp'), os.listdir('/etc'))", "").stdout in (
        "[] ['ld.so.cache']\n",
        "[] []\n",
    )


@pytest.mark.parametrize("path", ["/x", "/dev/x", "/dev/shm/x", "/usr/x", "/python/x", "/program.py", "/proc/x"])
def test_nothing_outside_tmp_can_be_written(sandbox, path):
    assert sandbox.run(f"open({path!r}, 'w').write('x')", "").fault.startswith("exit code 1: ")


def test_tmp_is_small_and_new_for_each_program(sandbox):
    assert sandbox.run("open('/tmp/x', 'w').write('x'); print(open('/tmp/x').read())", "") == ("x\n", "")
    assert sandbox.run("import os; print(os.path.exists('/tmp/x'))", "").stdout == "False\n"
    fill = "for i in range(9): open(f'/tmp/{i}', 'w').write('x' * 500_000)"
    assert "No space left" in sandbox.run(fill, "").fault


def test_no_socket_reaches_anything(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)"
        assert "ConnectionRefusedError" in sandbox.run(program, "").fault
    assert "unreachable" in sandbox.run("import socket\nsocket.create_connection(('1.1.1.1', 53), 1)", "").fault


def test_the_machines_processes_cannot_be_seen_or_killed(sandbox):
    seen = sandbox.run("import os; print(len([p for p in os.listdir('/proc') if p.isdigit()]))", "")
    assert seen.stdout == "2\n"
    # its parent is the first process of its namespace: it may not be, or is not, killed
    stdout, _ = sandbox.run("import os\ntry: os.kill(os.getppid(), 9)\nexcept OSError: pass\nprint('alive')", "")
    assert stdout == "alive\n"
    assert sandbox.run(f"import os; os.kill({os.getpid()}, 9)", "").fault.endswith("No such process")


def test_ptrace_reaches_no_process_outside(sandbox):
    program = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ptrace(16, {os.getpid()}, 0, 0), ctypes.get_errno())
"""
    assert sandbox.run(program, "") == ("-1 3\n", "")


def test_the_environment_and_the_files_given_hold_no_secret(sandbox, monkeypatch):
    monkeypatch.setenv("EXPECTED", "forty-two")
    program = """
import os
print(dict(os.environ))
for path in ('/proc/1/environ', '/proc/1/cmdline', '/proc/self/cmdline', '/driver.py'):
    try: print(open(path).read())
    except OSError: pass
print(sorted(os.listdir('/proc/self/fd')))
"""
    stdout, fault = sandbox.run(program, "")
    assert fault == ""
    assert "forty-two" not in stdout
    # stdin, stdout, stderr, and the folder that is being listed
    assert stdout.endswith("['0', '1', '2', '3']\n")


def test_without_bubblewrap_nothing_is_run(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoSandbox, match="grading code needs bubblewrap: apt-get install bubblewrap"):
        Sandbox().run(f"open('{tmp_path}/ran', 'w')", "")
    assert not list(tmp_path.iterdir())


def test_a_bubblewrap_that_fails_is_no_verdict(monkeypatch, tmp_path):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho bwrap: No permissions to create new namespace >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(NoSandbox, match="cannot run a program here: bwrap: No permissions to create new namespace"):
        Sandbox().run("print(1)", "")


def test_a_sandbox_that_no_program_can_run_in_is_no_verdict(sandbox):
    with pytest.raises(NoSandbox, match="cannot run a program here: "):
        probe(replace(sandbox, memory_mb=1))


def test_limits_are_positive():
    with pytest.raises(ValueError, match=r"sandbox\.wall_s=0: use a positive number"):
        Sandbox(wall_s=0)


def test_programs_run_side_by_side_and_start_fast(sandbox):
    """8 a second and more on two cores; half of that is asked for, since a test machine is seldom idle."""
    start = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda number: sandbox.run(f"print({number})", ""), range(16)))
    assert [outcome.stdout for outcome in outcomes] == [f"{number}\n" for number in range(16)]
    assert time.perf_counter() - start < 4
