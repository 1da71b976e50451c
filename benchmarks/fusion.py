"""How fast and how small are cores, groups and fusion, against reading and writing alone?

    python -m benchmarks.fusion [--billion 1.0] [--small]

Four random bfloat16 checkpoints and their base, in the shapes of a Llama. The yardstick, measured
in the same run: every input byte read once into a buffer, as many bytes as the output written
once and synced. `disk` starts both with the inputs out of the page cache, `cache` with them in it
as far as they fit. Memory is the growth of the resident set (VmHWM; nothing is mapped), which
the making of the checkpoints, in a process of its own, has no part in. Linux only.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from onsa.cores.fusion import fuse
from onsa.cores.grouping import Evidence, chance_level, group_tasks, overlap_matrix, threshold_value
from onsa.cores.saliency import core_region
from onsa.masks import ParameterMask
from onsa.tensor_file import Shape
from onsa.weight_ops import pieces
from onsa.weights import Weights, write_weights

TASKS = ("family", "sums", "syllogisms", "calendar")
SHARE = 0.01
THREADS = 2
MEGABYTE = 1 << 20
MOST_TIMES = 3.0
SHARD_BYTES = 1_000_000_000


def llama_shapes(
    width: int, middle: int, key_width: int, words: int, layers: int
) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {
        "model.embed_tokens.weight": (words, width),
        "model.norm.weight": (width,),
        "lm_head.weight": (words, width),
    }
    for layer in range(layers):
        shapes |= {
            f"model.layers.{layer}.{name}.weight": shape
            for name, shape in {
                "self_attn.q_proj": (width, width),
                "self_attn.k_proj": (key_width, width),
                "self_attn.v_proj": (key_width, width),
                "self_attn.o_proj": (width, width),
                "mlp.gate_proj": (middle, width),
                "mlp.up_proj": (middle, width),
                "mlp.down_proj": (width, middle),
                "input_layernorm": (width,),
                "post_attention_layernorm": (width,),
            }.items()
        }
    return shapes


def shapes_of_size(billion: float) -> dict[str, Shape]:
    """TinyLlama's widths with as many layers as come nearest to the size."""
    sizes = [
        sum(map(math.prod, llama_shapes(2048, 5632, 256, 32000, layers).values()))
        for layers in (0, 1)
    ]
    layers = max(1, round((billion * 1e9 - sizes[0]) / (sizes[1] - sizes[0])))
    return llama_shapes(2048, 5632, 256, 32000, layers)


class Normal:
    """Normal draws, quick: pieces from random places of one large pool."""

    def __init__(self, seed: int) -> None:
        self.draw = torch.Generator().manual_seed(seed)
        self.pool = torch.randn(1 << 22, generator=torch.Generator().manual_seed(0))

    def __call__(self, size: int) -> Tensor:
        start = int(torch.randint(self.pool.numel() - size, (), generator=self.draw))
        return self.pool[start : start + size]


def make_checkpoints(folder: Path, shapes: dict[str, Shape]) -> None:
    """A base and one update for each task, half of it shared by two tasks each."""
    torch.set_num_threads(THREADS)
    layout = {name: (torch.bfloat16, shape) for name, shape in shapes.items()}
    first = Normal(1)

    def base(name: str) -> Iterator[Tensor]:
        for _, start, stop in pieces({name: shapes[name]}):
            yield (0.02 * first(stop - start)).bfloat16()

    weights = write_weights(folder / "base", layout, base, max_shard_bytes=SHARD_BYTES)
    for number, task in enumerate(TASKS):
        own, shared = Normal(1000 + number), Normal(2000 + number // 2)

        def tuned(name: str, own: Normal = own, shared: Normal = shared) -> Iterator[Tensor]:
            for place in pieces({name: shapes[name]}):
                update = own(place[2] - place[1]) + shared(place[2] - place[1])
                yield (weights.read(*place).float() + 2e-4 * update).bfloat16()

        write_weights(folder / task, layout, tuned, max_shard_bytes=SHARD_BYTES)


def input_files(folder: Path) -> list[Path]:
    return sorted(
        path for name in ("base", *TASKS) for path in (folder / name).glob("*.safetensors")
    )


def drop_from_cache(files: list[Path]) -> None:
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_once(files: list[Path]) -> int:
    buffer, total = bytearray(MEGABYTE), 0
    for path in files:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                total += count
    return total


def write_once(path: Path, size: int) -> None:
    block = os.urandom(MEGABYTE)
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, MEGABYTE):
            file.write(block[: size - start])
        os.fsync(file.fileno())
    path.unlink()


def find_cores(folder: Path) -> None:
    base = Weights(folder / "base")
    for task in TASKS:
        core = core_region(base, Weights(folder / task), SHARE)
        core.save(folder / f"{task}.mask")


def load_cores(folder: Path) -> dict[str, ParameterMask]:
    return {task: ParameterMask.load(folder / f"{task}.mask") for task in TASKS}


def group(folder: Path) -> None:
    overlap = overlap_matrix(load_cores(folder))
    groups = group_tasks(Evidence(TASKS, threshold_value("3x chance", SHARE), overlap))
    print(f"groups {groups}; overlap {overlap[0]} against {chance_level(SHARE):.4f} by chance")


def fuse_all(folder: Path) -> None:
    tuned = {task: Weights(folder / task) for task in TASKS}
    base = Weights(folder / "base")
    record = fuse(folder / "fused", base, tuned, load_cores(folder)).record
    print({key: record[key] for key in ("branches", "transplanted", "conflicts")})


def seconds(function: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def resident_bytes(field: str) -> int:
    """VmRSS (now) or VmHWM (the most so far) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def measure(folder: Path, shapes: dict[str, Shape], from_disk: bool) -> float:
    """Print the table; the ratio to the yardstick."""
    files = input_files(folder)
    output_bytes = 2 * sum(map(math.prod, shapes.values()))
    if from_disk:
        drop_from_cache(files)
    reading = seconds(read_once, files)
    writing = seconds(write_once, folder / "yardstick", output_bytes)
    if from_disk:
        drop_from_cache(files)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from here
    before = resident_bytes("VmRSS")
    steps = {step.__name__: seconds(step, folder) for step in (find_cores, group, fuse_all)}
    growth = resident_bytes("VmHWM") - before
    yardstick, total = reading + writing, sum(steps.values())
    most_memory = 4 * 2 * max(map(math.prod, shapes.values())) + 256 * MEGABYTE
    print(f"\ninputs from {'disk' if from_disk else 'cache'}      seconds   x yardstick")
    for name, value in {
        "read once": reading,
        "write once": writing,
        **steps,
        "total": total,
    }.items():
        print(f"{name:<20} {value:>9.2f} {value / yardstick:>9.2f}")
    print(
        f"{'memory growth':<20} {growth / MEGABYTE:>6.0f} MB of {most_memory / MEGABYTE:.0f} MB\n"
    )
    return max(total / yardstick / MOST_TIMES, growth / most_memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--billion", type=float, default=1.0, help="entries of each model, in billions"
    )
    parser.add_argument("--small", action="store_true", help="a few million entries, to try it out")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: temporary)")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    shapes = (
        llama_shapes(256, 704, 64, 8000, 4)
        if arguments.small
        else shapes_of_size(arguments.billion)
    )
    with tempfile.TemporaryDirectory(prefix="fusion.", dir=arguments.folder) as name:
        folder = Path(name)
        making = multiprocessing.get_context("spawn").Process(
            target=make_checkpoints, args=(folder, shapes)
        )
        print(
            f"making 5 checkpoints of {sum(map(math.prod, shapes.values())):,} entries", flush=True
        )
        making.start()
        making.join()
        assert making.exitcode == 0
        worst = max(measure(folder, shapes, from_disk) for from_disk in (True, False))
    print("within the bounds" if worst <= 1 else f"OUT OF BOUNDS by {worst:.2f}")


if __name__ == "__main__":
    main()
