"""What a person should know before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from onsa.data.batches import cut_facts, cut_notes
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.data.overlap import check_overlap, find_overlap
from onsa.data.reading import named
from onsa.data.requests import is_cut, requests_of
from onsa.data.shared_texts import Texts, shared_texts
from onsa.errors import InputError
from onsa.models.base_model import Checked
from onsa.models.carried import said_by
from onsa.tasks import Task


def task_notes(tasks: list[Task]) -> list[str]:
    """What the loading of each task left out."""
    return [f"task {task.name}: {note}" for task in tasks for note in task.notes]


def overlap_notes(tasks: list[Task], allowed_share: float) -> list[str]:
    """For each task, what of its evaluation rows are training rows of any task, or share a text.

    Raises:
        InputError: more of them than `allowed_share` are training rows.
    """
    train: list[Example] = [row for task in tasks for row in task.train]
    texts = {task.name: (task.train, Texts.of(task.train)) for task in tasks}
    notes = []
    for task in tasks:
        found = find_overlap(train, task.evaluation)
        try:
            said = check_overlap(found, allowed_share)
        except InputError as fault:
            raise InputError(fault.what, where=f"task {task.name}", way_out=fault.way_out) from None
        both = (said, shared_texts(texts, task.evaluation, found.twins))
        notes += [f"task {task.name}: {note}" for note in both if note]
    return notes


def length_notes(tasks: list[Task], encoder: Encoder) -> list[str]:
    """What of the training rows the length limit cuts."""
    cut = {task.name: cut_facts(encoder.encode_all(task.train)) for task in tasks}
    return cut_notes(cut, encoder.max_length, encoder.truncation)


def request_notes(
    tasks: Sequence[Task], encoder: Encoder, positions: int | None, virtual_tokens: int = 0
) -> list[str]:
    """What of an evaluation harness's questions is longer than the model can read."""
    if positions is None:
        return []
    limit = positions - virtual_tokens
    notes = []
    for task in tasks:
        asked = [row for row in task.evaluation if requests_of(row)]
        cut = sum(is_cut(row, encoder.tokenizer, limit) for row in asked)
        if cut:
            notes.append(
                f"task {task.name}: {cut} of {len(asked)} rows are longer than the model's {limit} "
                "positions and are cut on the left, as lm-evaluation-harness cuts them"
            )
    return notes


def unknown_notes(tasks: list[Task], encoder: Encoder) -> list[str]:
    """How much of the training rows the tokenizer has no tokens for: the model cannot read it."""
    unknown = encoder.tokenizer.unk_token_id
    if unknown is None or unknown in encoder.end_tokens:  # GPT-2's unknown token is its end token
        return []
    notes = []
    for task in tasks:
        rows = [row.ids for row in encoder.encode_all(task.train)]
        count, tokens = sum(ids.count(unknown) for ids in rows), sum(map(len, rows))
        if count:
            notes.append(
                f"task {task.name}: {count:,} of {tokens:,} tokens ({count / tokens:.1%}) are "
                f"{encoder.tokenizer.unk_token}: the tokenizer does not know what stands there"
            )
    return notes


def model_notes(model: Checked) -> list[str]:
    """What is special about it: heads that it brings along, what it leaves out of its folder's
    weights, its positions."""
    notes = [
        f"task {task}: it goes on with the head that the model has for it"
        for task in model.known.kept
    ]
    notes += [
        f"task {task}: the model's own head for it says something else ({said_by(head)}), so it "
        "begins with a new one"
        for task, head in model.known.other.items()
    ]
    if model.left_out:
        count, names = len(model.left_out), named(model.left_out)
        notes.append(f"the model has no place for {count} tensors of its folder: {names}")
    if model.first_position:
        notes.append(
            "its positions begin behind that of the padding token, and the generate of "
            "transformers begins at 0: elsewhere than here, give it position_ids"
        )
    return notes
