"""Programs of a model: what passes, and that what is hostile does nothing and never passes."""

from __future__ import annotations

import ast
import itertools
import json
import math
import os
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.example import Example
from onsa.errors import InputError
from onsa.metrics.codebleu import code_bleu, data_flow, tokens
from onsa.metrics.passing import pass_at_k
from onsa.tasks import find_kind, load_task
from onsa.tasks._confined import (
    Limits,
    Outcome,
    Program,
    confinement,
    has_namespaces,
    run_all,
    run_confined,
)
from onsa.tasks.code import readings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="replies are run on POSIX only")

STUB = 'from typing import List\n\n\ndef double(x: int) -> int:\n    """Twice x."""\n'
TESTS = "def check(f):\n    assert f(2) == 4\n\ncheck(double)"


@pytest.fixture(params=["namespaces", "audit hook"])
def limits(request: Any) -> Limits:
    if request.param == "namespaces" and not has_namespaces():
        pytest.skip("no namespaces on this machine")
    return Limits(seconds=3.0, namespaces=request.param == "namespaces")


def run(source: str, limits: Limits, tests: str = "assert f() == 1") -> Outcome:
    return run_confined(Program((source,), tests), limits)


def test_what_passes_and_what_does_not(limits: Limits) -> None:
    right = run("def f():\n    return 1", limits)
    assert right.passed
    assert right.confinement == ("namespaces" if limits.namespaces else "audit hook")
    assert "AssertionError" in run("def f():\n    return 2", limits).why
    assert "SyntaxError" in run("def f(:", limits).why
    assert "NameError" in run("", limits).why
    assert run("def f():\n    return 1", limits, "import json, math, re, random").passed


LEAVING = [
    "import os; os._exit(0)",
    "import sys; sys.exit(0)",
    "raise SystemExit",
    "quit()",
    "def f():\n    import os; os._exit(0)",
    "import os, signal\ndef f():\n    os.kill(os.getpid(), signal.SIGKILL)",
    "import atexit, os\natexit.register(os._exit, 0)",
    "import sys; sys.stdout.write('passed'); sys.stdout.flush()",
    "print('x' * 10**7)",
    "import os\nfor n in range(64):\n    try: os.write(n, b'0' * 32 + b'\\n')\n"
    "    except OSError: pass\nos._exit(0)",
    "import ctypes; ctypes.string_at(0)",
    "def g(): return g()\ng()",
    "raise KeyboardInterrupt",
    "__import__('builtins').AssertionError = None\nf = None",
    "input()",
    "import sys; sys.stdin.read(1) or 1/0",
]


@pytest.mark.parametrize("source", LEAVING)
def test_leaving_before_the_tests_is_no_pass(source: str, limits: Limits) -> None:
    assert not run(source, limits).passed


def test_a_program_that_does_not_end(limits: Limits) -> None:
    short = Limits(seconds=0.4, namespaces=limits.namespaces)
    started = time.monotonic()
    deaf = "import signal; signal.pthread_sigmask(0, range(1, 65))\nwhile True: pass"
    for source in ("while True: pass", "import time; time.sleep(60)", deaf):
        assert not run(source, short).passed
    assert time.monotonic() - started < 8


def test_memory_and_files_are_limited(limits: Limits) -> None:
    assert "MemoryError" in run("x = 'x' * 2**31", limits).why
    assert "MemoryError" in run("x = []\nwhile True: x.append('x' * 10**6)", limits).why
    full = "with open('here', 'wb') as file:\n  for n in range(100): file.write(b'x' * 2**20)"
    assert not run(full, limits).passed
    assert run("open('here', 'w').write('x')\ndef f(): return 1", limits).passed


def test_a_fork_bomb_is_soon_over(limits: Limits) -> None:
    before = _processes()
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert not run(bomb, Limits(seconds=1.0, namespaces=limits.namespaces)).passed
    time.sleep(0.2)
    assert _processes() < before + 20


def _processes() -> int:
    if sys.platform != "linux":
        return 0
    return sum(path.name.isdecimal() for path in Path("/proc").iterdir())


@pytest.mark.parametrize(
    "act",
    [
        "open({outside!r}, 'w')",
        "open({outside!r}, 'a')",
        "open('../outside', 'w')",
        "import os; os.open({outside!r}, os.O_CREAT | os.O_WRONLY)",
        "import os; os.mkdir({outside!r})",
        "import os; os.symlink('/', 'root'); open('root' + {outside!r}, 'w')",
        "import os; os.remove({kept!r})",
        "import os; os.rename({kept!r}, {outside!r})",
        "import os; os.truncate({kept!r}, 0)",
        "import os; os.chmod({kept!r}, 0)",
        "import shutil; shutil.rmtree({folder!r})",
        "import pathlib; pathlib.Path({kept!r}).write_text('gone')",
        "import sqlite3; sqlite3.connect({outside!r}).execute('create table t (a)')",
        "import subprocess; subprocess.run(['rm', {kept!r}], check=True)",
        "import os; assert not os.system('rm ' + {kept!r})",
        "import ctypes; assert not ctypes.CDLL(None).unlink({kept!r}.encode())",
        "import ctypes; l = ctypes.CDLL(None); l.mount(b'none', b'/', None, 4128, None); "
        "open({outside!r}, 'w')",
        "import ctypes; l = ctypes.CDLL(None); assert not l.umount2({folder!r}.encode(), 2)",
    ],
)
def test_nothing_outside_is_touched(act: str, limits: Limits, tmp_path: Path) -> None:
    kept, outside = tmp_path / "kept", tmp_path / "outside"
    kept.write_text("here")
    tmp_path.chmod(0o777)
    kept.chmod(0o666)
    names = {"outside": str(outside), "kept": str(kept), "folder": str(tmp_path)}
    found = run(act.format(**names) + "\ndef f(): return 1", limits)
    assert not found.passed, act
    assert kept.read_text() == "here"
    assert not outside.exists()


def test_places_that_everybody_may_write_to_are_read_only(limits: Limits) -> None:
    place = Path(f"/var/tmp/onsa-test-{os.getpid()}")
    source = f"open({str(place)!r}, 'w').write('x')\ndef f(): return 1"
    assert not run(source, limits).passed
    assert not place.exists()


def test_other_programs_sockets_are_out_of_reach(limits: Limits) -> None:
    import socket

    # Not tmp_path: a socket's path has room for about a hundred characters.
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        place = f"{folder}/socket"
        Path(folder).chmod(0o755)
        server.bind(place)
        Path(place).chmod(0o777)
        server.listen()
        called = f"import socket; socket.socket(socket.AF_UNIX).connect({place!r})"
        assert not run(called + "\ndef f(): return 1", limits).passed


def test_no_network(limits: Limits) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        called = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        found = run(called + "\ndef f(): return 1", limits)
        assert not found.passed
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()


def test_no_other_process_is_reached(limits: Limits) -> None:
    mine = os.getpid()
    for act in (f"os.kill({mine}, 9)", "os.kill(os.getppid(), 9)", "os.kill(-1, 9)",
                f"os.killpg({os.getpgid(0)}, 9)", "os.kill(0, 9)"):  # fmt: skip
        run(f"import os\n{act}", limits)  # this process lives, or no test would pass
    assert run("def f(): return 1", limits).passed


def test_what_a_program_starts_ends_with_it(limits: Limits) -> None:
    """A child in a session of its own would hold the pipe open until the very deadline."""
    source = (
        "import os, time\nif not os.fork():\n    os.setsid()\n    time.sleep(50)\n    os._exit(0)"
    )
    long = Limits(seconds=30, namespaces=limits.namespaces)
    started = time.monotonic()
    found = run(source + "\ndef f(): return 1", long)
    assert found.passed == limits.namespaces  # else it cannot fork at all
    assert time.monotonic() - started < 20


def test_many_run_at_once(limits: Limits) -> None:
    programs = [Program((f"def f(): return {n % 2}",), "assert f() == 1") for n in range(10)]
    assert [outcome.passed for outcome in run_all(programs, limits)] == [False, True] * 5
    assert threading.active_count() < 20


def test_how_it_is_confined_is_said() -> None:
    assert ("namespaces of Linux" in confinement()) == has_namespaces()


# --- replies -------------------------------------------------------------------------------------


def example(stub: str = STUB, name: str = "double", tests: str = TESTS) -> Example:
    turns = ({"role": "user", "content": "q"}, {"role": "assistant", "content": "return 2 * x"})
    return Example(turns, {"tests": tests, "stub": stub, "entry_point": name})


@pytest.mark.parametrize(
    ("reply", "passes"),
    [
        ("return 2 * x", True),  # the body, its indent lost
        ("    return 2 * x", True),
        ("y = 2\n    return y * x", True),
        ("return 2 * x\n\nprint(double(3)", True),  # what runs on is cut where it is no Python
        ("def double(x: int) -> int:\n    return 2 * x", True),
        ("def double(x: List[int]):\n    return 2 * x", True),  # with the imports of the stub
        ("Here it is:\n```python\ndef double(x):\n    return x + x\n```\nIt adds.", True),
        ("```\nreturn x + x\n```", True),
        ("```py\nimport math\ndef double(x):\n    return x + x", True),  # a fence left open
        ("return 3 * x", False),
        ("I think it is 2 * x", False),
        ("def other(x):\n    return 2 * x", False),
    ],
)
def test_what_a_reply_may_look_like(reply: str, passes: bool) -> None:
    program = Program(readings(reply, example()), TESTS)
    assert run_confined(program, Limits(namespaces=has_namespaces())).passed == passes


@given(st.text())
def test_any_reply_can_be_read(reply: str) -> None:
    assert all(isinstance(reading, str) for reading in readings(reply, example()))
    assert readings(reply, example(stub=""))


MBPP = [
    {
        "text": f"Add {n}.",
        "code": f"def add(x):\n    return x + {n}",
        "test_list": [f"assert add(1) == {n + 1}", "assert add(KNOWN) > 6"],
        "test_setup_code": "KNOWN = 7",
    }
    for n in range(8)
]


def loaded(tmp_path: Path, rows: list[Any], **options: Any) -> Any:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_task("mine", "code", {"train": "rows.jsonl", **options}, tmp_path, 0)


def test_rows_of_mbpp(tmp_path: Path) -> None:
    task = loaded(tmp_path, MBPP, eval_rows=2)
    (first, second) = task.evaluation
    assert "Your code should pass these tests:\n\nassert add(1) == " in first.prompt[-1]["content"]
    replies = [first.reply, second.reply.replace("+", "-"), " "]
    assert task.scores(replies, [first, second, first]) == [1.0, 0.0, 0.0]
    assert task.how.startswith("pass@1 of the likeliest reply; run ")


def test_references_that_fail_are_told_or_left_out(tmp_path: Path) -> None:
    rows = [*MBPP[:5], *({**row, "test_list": ["assert False"]} for row in MBPP[5:])]
    with pytest.raises(InputError, match="the reference reply itself scores 0"):
        loaded(tmp_path, rows, eval_rows=7)
    task = loaded(tmp_path, rows, eval_rows=7, skip_failing=True)
    assert len(task.evaluation) in (4, 5)
    assert "rows left out, their reference fails its tests: rows.jsonl:" in task.notes[0]
    with pytest.raises(InputError, match="the row has no tests"):
        loaded(tmp_path, [{"prompt": f"p{n}", "completion": "c"} for n in range(5)])


def test_settings_without_effect_are_refused(tmp_path: Path) -> None:
    for options, told in (
        ({"k": 2}, "k is 2, and there are 1 samples"),
        ({"temperature": 0.5}, "no effect on one sample"),
    ):
        with pytest.raises(InputError, match=told):
            loaded(tmp_path, MBPP, **options)


# --- the estimate --------------------------------------------------------------------------------


@given(
    st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))
)
def test_pass_at_k_by_brute_force(case: tuple[int, int, int]) -> None:
    """The share of all choices of k samples in which one passes."""
    samples, passed, k = case
    choices = list(itertools.combinations(range(samples), k))
    hits = sum(any(sample < passed for sample in choice) for choice in choices)
    assert pass_at_k(samples, passed, k) == pytest.approx(hits / len(choices))


def test_pass_at_k_of_many_samples() -> None:
    assert pass_at_k(200, 20, 10) == pytest.approx(1 - math.comb(180, 10) / math.comb(200, 10))
    assert find_kind("code").combined([1.0, 0.0, 0.0, 0.0], find_kind("code").settings(
        train="x", samples=4, k=2)) == pytest.approx(0.5)  # fmt: skip


# --- CodeBLEU ------------------------------------------------------------------------------------

REFERENCE = "def total(xs):\n    s = 0\n    for x in xs:\n        s += x\n    return s"


def test_code_bleu_by_hand() -> None:
    """`return a` of `return b`: 1-gram 1/2, weighted 1/1.2, no pair (0 + 1) / (1 + 1), 1, 1."""
    plain = math.exp((math.log(1 / 2) + math.log(1 / 2)) / 4)
    weighted = math.exp((math.log(1 / 1.2) + math.log(1 / 2)) / 4)
    # Syntax: Module, FunctionDef and Return have children, all alike; data flow: one edge, alike.
    assert code_bleu("return a", "return b") == pytest.approx((plain + weighted + 1 + 1) / 4)


def test_code_bleu_looks_at_what_the_program_does() -> None:
    renamed = REFERENCE.replace("xs", "items").replace("s ", "total_ ").replace(" s", " total_")
    broken = REFERENCE.replace("s += x", "s = x").replace("return s", "return xs")
    prose = "It adds all of the numbers in xs to s, and returns s."
    values = [code_bleu(reply, REFERENCE) for reply in (REFERENCE, renamed, broken, prose, "")]
    assert values[0] == pytest.approx(1)
    assert values[1] > 0.5
    assert values[1] > values[3]
    assert values[2] < 1
    assert values[4] == 0
    assert data_flow(ast.parse(renamed)) == data_flow(ast.parse(REFERENCE))
    assert data_flow(ast.parse(broken)) != data_flow(ast.parse(REFERENCE))
    assert tokens("x = 1  # one") == ["x", "=", "1"]


@given(st.text() | st.text(st.sampled_from("def x(:)=\n  return'\"#")))
def test_code_bleu_of_anything(program: str) -> None:
    assert 0 <= code_bleu(program, REFERENCE) <= 1
    assert 0 <= code_bleu(REFERENCE, program) <= 1 + 1e-9


def test_code_bleu_of_deep_programs() -> None:
    for deep in ("(" * 10_000, "x = " + "-" * 5_000 + "1", "[" * 90 + "]" * 90):
        assert 0 <= code_bleu(deep, REFERENCE) <= 1
