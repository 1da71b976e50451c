"""`onsa init`: a commented recipe from data files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onsa.data.reading import read_examples
from onsa.errors import InputError
from onsa.files import write_text
from onsa.metrics.guess import likely_kind

HEAD = """\
# onsa tune {name}     (onsa check {name} shows what it would do)
model: {model}            # a Hugging Face folder or hub name
output: runs/{stem}       # report.html and model/ will be here
method: cpi_ft            # 'onsa methods' lists the others
baselines: [full]         # plain mixing for the same trained tokens; [] for none
learning_rate: 1e-4
num_train_epochs: 2
tasks:
"""
TASK = """\
  - name: {name}
    kind: {kind}          # how a reply is scored; 'onsa tasks' lists the others
    train: {path}         # {rows} rows
    eval_share: 0.1       # or 'eval: a file'
"""


def write_recipe(files: Sequence[Path], model: str, output: Path) -> str:
    """Write the recipe and return what to do next.

    Raises:
        InputError: the recipe is there already, or a file cannot be read as data.
    """
    if output.exists():
        raise InputError("is there already", where=output, way_out="choose another --output")
    home = output.resolve().parent
    tasks = [_task(path, home) for path in files]
    head = HEAD.format(name=output.name, stem=output.stem, model=model or "FOLDER_OR_HUB_NAME")
    write_text(output, head + "".join(tasks))
    missing = "" if model else f"write the model into {output}, then "
    return f"wrote {output}; {missing}onsa check {output}"


def _task(path: Path, home: Path) -> str:
    examples = read_examples(str(path.resolve()), base_folder=home)
    place = path.resolve()
    shown = place.relative_to(home) if place.is_relative_to(home) else place
    return TASK.format(
        name=path.name.split(".")[0], kind=likely_kind(examples), path=shown, rows=len(examples)
    )
