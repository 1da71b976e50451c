"""How much time and memory do a million short rows take, against `datasets` + plain `map`?

    python -m benchmarks.inspection [--rows 1000000]

Both read the same JSON Lines file, each in a process of its own. The yardstick does what a script
of twenty lines does: one `map` that normalises and hashes a row, counts its characters and looks
for mail addresses and telephone numbers; then it counts the hashes that come twice. The inspection
does all that `onsa data` does by default: languages, labels, conflicts, characters and personal
data, and near duplicates in the first 30,000 rows. Then the same with every row tokenised by the
model's chat template too, as `onsa data --model` and a `map` row by row do. Needs `datasets`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import HEAD, Ratio, in_turns, model_folder, ratio_of
from onsa.models.tokenizer import load_tokenizer

ROWS = 1_000_000
TURNS = 2
MOST_TIME, MOST_MEMORY = 1.2, 1.0
MEGABYTE = 1 << 20


def write_data(path: Path, rows: int) -> None:
    """Short questions and answers, one row in a hundred twice."""
    order = random.Random(0)
    words = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "")]
    before: dict[str, str] = {}
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            if number % 100 or not before:
                asked, said = (" ".join(order.choices(words, k=count)) for count in (8, 3))
                before = {"prompt": asked, "completion": said}
            file.write(json.dumps(before) + "\n")


def onsa_data(path: Path, tokenizer: Any) -> int:
    """Duplicates found by the inspection of `onsa data`."""
    from onsa.inspection.inspect import Wanted, inspect
    from onsa.inspection.records import Reading

    facts = inspect(Reading().records(str(path)), Wanted(tokenizer=tokenizer))
    return int(facts["findings"]["duplicates"]["rows"])


def datasets_map(path: Path, tokenizer: Any) -> int:
    """Duplicates found by `datasets` and a plain function."""
    import hashlib
    import re
    import unicodedata

    import datasets

    datasets.disable_progress_bars()
    mail, phone = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+"), re.compile(r"0\d{1,3}-\d{2,4}-\d{4}")

    def look(row: dict[str, Any]) -> dict[str, Any]:
        text = row["prompt"] + "\n" + row["completion"]
        plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        turns = [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row["completion"]},
        ]
        tokens = tokenizer.apply_chat_template(turns)["input_ids"] if tokenizer else []
        return {
            "key": hashlib.md5(plain.encode()).hexdigest(),
            "length": len(text),
            "tokens": len(tokens),
            "mail": mail.search(text) is not None,
            "phone": phone.search(text) is not None,
        }

    loaded = datasets.load_dataset("json", data_files=str(path), split="train")
    keys = loaded.map(look)["key"]
    return len(keys) - len(set(keys))


WAYS = {"onsa": onsa_data, "datasets": datasets_map}


def in_own_process(way: str, path: Path, model: Path | None) -> tuple[float, float]:
    """Processor seconds (of all threads) and peak bytes of one way."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "HF_DATASETS_CACHE": cache, "HF_HUB_OFFLINE": "1"}
        arguments = [
            sys.executable,
            "-m",
            "benchmarks.inspection",
            "--way",
            way,
            "--data",
            str(path),
            *(["--model", str(model)] if model else []),
        ]
        before = processor_seconds()
        done = subprocess.run(
            arguments, check=True, stdout=subprocess.PIPE, text=True, env=environment
        )
        seconds = processor_seconds() - before
    found, peak = (int(word) for word in done.stdout.split()[-2:])
    print(f"{way:<9} {seconds:7.1f} s  {peak / MEGABYTE:7.0f} MB  {found:,} duplicates", flush=True)
    return seconds, float(peak)


def processor_seconds() -> float:
    """Of all processes that were started and have ended; other programs do not slow it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_bytes() -> int:
    """Of this process; getrusage would count what its parent had when it was forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def measure(rows: int = ROWS) -> list[Ratio]:
    if importlib.util.find_spec("datasets") is None:
        print("benchmarks.inspection was left out: it needs datasets (pip install datasets)")
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_data(path, rows)
        model = model_folder(Path(folder))
        return [
            *compared(f"{rows:,} rows, inspected / datasets + map", path, None),
            *compared(f"{rows:,} rows, tokenised too / datasets + map", path, model),
        ]


def compared(shown: str, path: Path, model: Path | None) -> list[Ratio]:
    """Processor time and memory of ours, as ratios to the yardstick's."""
    peaks: list[tuple[float, float]] = []
    last: dict[str, float] = {}

    def seconds(way: str) -> float:
        taken, last[way] = in_own_process(way, path, model)
        if len(last) == len(WAYS):
            peaks.append((last["onsa"], last["datasets"]))
            last.clear()
        return taken

    pairs = in_turns(lambda: seconds("onsa"), lambda: seconds("datasets"), TURNS)
    return [
        ratio_of(f"processor time: {shown}", pairs, MOST_TIME),
        ratio_of(f"memory: {shown}", peaks, MOST_MEMORY),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        tokenizer = load_tokenizer(arguments.model) if arguments.model else None
        found = WAYS[arguments.way](arguments.data, tokenizer)
        print(found, peak_bytes())
    else:
        print(HEAD, *measure(arguments.rows), sep="\n")


if __name__ == "__main__":
    main()
