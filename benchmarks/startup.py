"""How long until `onsa --help` is there, against `python -c "import typer"` alone?

python -m benchmarks.startup
"""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks import HEAD, Ratio, in_turns, ratio_of

HELP = ("-c", "from onsa.cli import main; main()", "--help")  # what the command `onsa` runs
TYPER = ("-c", "import typer")
TURNS = 10
MOST = 3.0


def seconds(arguments: tuple[str, ...]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure() -> list[Ratio]:
    for arguments in (HELP, TYPER):  # files into the page cache, bytecode written
        seconds(arguments)
    pairs = in_turns(lambda: seconds(HELP), lambda: seconds(TYPER), TURNS)
    return [ratio_of("seconds of `onsa --help` / `import typer`", pairs, MOST)]


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
