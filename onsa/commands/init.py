"""`onsa init`: a commented recipe from data files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from onsa.data.example import Example
from onsa.data.reading import read_examples
from onsa.data.split import split
from onsa.errors import InputError
from onsa.files import write_text
from onsa.language import tell
from onsa.metrics.guess import likely_kind
from onsa.plain_yaml import load_yaml
from onsa.recipe.schema import NAME
from onsa.tasks import find_kind

HEAD = """\
# onsa check {name}   shows what this would do, onsa tune {name} does it
model: {model:<18}  # a Hugging Face folder or hub name
output: {output:<17}  # report.html and model/ will be here
method: cpi_ft             # 'onsa methods' lists the others
baselines: [full]          # plain mixing for the same trained tokens; [] for none
learning_rate: 1e-4
num_train_epochs: 2
tasks:
"""
TASK = """\
  - name: {name}
    kind: {kind:<15}  # {why}; 'onsa tasks' lists the others
    train: {path:<14}  # {rows} rows
    eval_share: {share:<9}  # or 'eval: a file'
"""
MANY = """\
    many: true             # several labels for a row, or none
"""
REPLY_LENGTH = """\
    max_new_tokens: {tokens:<5}  # longest reply that is generated
"""
NO_MODEL = "FOLDER_OR_HUB_NAME"
EVAL_SHARE = 0.1
SHORTEST_LIMIT, LONGEST_LIMIT = 16, 256  # of generated replies, in tokens


def write_recipe(files: Sequence[Path], model: str, output: Path) -> str:
    """Write the recipe and return what to do next.

    Raises:
        InputError: the recipe is there already, or a file cannot be read as data.
    """
    if output.exists():
        raise InputError("is there already", where=output, way_out="choose another --output")
    home = output.resolve().parent
    if not home.is_dir():
        raise InputError("there is no such folder", where=home, way_out="make it, or name another")
    tasks = [_task(path, name, home) for path, name in zip(files, _names(files), strict=True)]
    head = HEAD.format(
        name=output.name,
        output=_scalar(f"runs/{_plain(output.stem)}"),
        model=_scalar(_model(model, home)),
    )
    write_text(output, _told(head + "".join(tasks)))
    missing = "" if model else f"write the model into {output}, then "
    return f"wrote {output}; {missing}onsa check {output}"


def _told(recipe: str) -> str:
    """The recipe with its comments in the user's language."""
    return re.sub(r"(?<=# ).+", lambda comment: tell(comment.group()), recipe)


def _task(path: Path, name: str, home: Path) -> str:
    examples = _examples(str(path.resolve()), home)
    split(examples, EVAL_SHARE, seed=0)  # says so where there are too few rows
    kind, why, many = likely_kind(examples)
    lines = TASK.format(
        name=_scalar(name),
        kind=kind,
        why=why,
        path=_scalar(_place(path, home)),
        rows=len(examples),
        share=EVAL_SHARE,
    )
    if many:
        lines += MANY
    if find_kind(kind).mode != "generate":
        return lines
    return lines + REPLY_LENGTH.format(tokens=_reply_limit(examples))


def _examples(place: str, home: Path) -> list[Example]:
    """The examples, those with a reply that was not liked among them."""
    examples = read_examples(place, base_folder=home, feedback=True)
    if any("liked" in example.extra for example in examples):
        read_examples(place, base_folder=home)  # says that no kind of task takes these
    return examples


def _reply_limit(examples: Sequence[Example]) -> int:
    """A power of two with room for the longest reply: a token is a byte or more."""
    longest = max(len(example.reply.encode()) for example in examples) + 1  # and its end
    return min(max(1 << (longest - 1).bit_length(), SHORTEST_LIMIT), LONGEST_LIMIT)


def _model(model: str, home: Path) -> str:
    """A folder is written as it is found from the recipe's folder, a hub name as it is."""
    if not model:
        return NO_MODEL
    return _place(Path(model), home) if Path(model).is_dir() else model


def _place(path: Path, home: Path) -> str:
    """From the recipe's folder where it is below it, else absolute."""
    place = path.resolve()
    return str(place.relative_to(home) if place.is_relative_to(home) else place)


def _names(files: Sequence[Path]) -> list[str]:
    """A name for each file's task: the file's own, with its folder's where two are alike."""
    own = [_plain(path.name.split(".")[0]) for path in files]
    if len({name.casefold() for name in own}) < len(own):
        own = [_plain(f"{path.resolve().parent.name}_{path.name.split('.')[0]}") for path in files]
    names: list[str] = []
    for plain in own:
        name, number = plain, 2
        while name.casefold() in (taken.casefold() for taken in names):
            name, number = f"{plain[:56]}_{number}", number + 1
        names.append(name)
    return names


def _plain(text: str) -> str:
    """As near to `text` as a task's name may be."""
    plain = re.sub(r"[^\w.-]+", "_", text).lstrip(".-")[:60] or "task"
    assert NAME.fullmatch(plain), plain
    return plain


def _scalar(text: str) -> str:
    """As plain YAML where it reads back as this text, else quoted."""
    try:
        if re.fullmatch(r"[\w./-]+", text) and load_yaml(text, "init") == text:
            return text
        quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**6)
    except (UnicodeError, yaml.YAMLError, InputError):
        raise InputError("the name is no text", where=text, way_out="rename the file") from None
    return quoted.strip()
