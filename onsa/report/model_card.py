"""The model card: `README.md` beside the weights, as the Hugging Face Hub reads it."""

from __future__ import annotations

import re
from typing import Any

import yaml

from onsa.language import tell
from onsa.report.scores import Facts, metrics_of, score_in, tuned_result
from onsa.report.verdict import verdict
from onsa.report.words import (
    capital,
    count,
    duration,
    listed,
    memory,
    moment,
    number,
    printable,
    scaled,
    short_name_of,
)

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# The marks of Markdown around a text: of headings, items and bold lines.
MARKED = re.compile(r"((?:#+ |- )?(?:\*\*)?)(.*?)((?:\*\*)?)")
PIPELINES = {"classify": "text-classification", "regress": "text-classification"}


def model_card(facts: Facts) -> str:
    """The card, from the JSON value of `report.json`; parts without facts are left out."""
    facts = printable(facts)
    parts = (summary, table, notes, training, data, use, provenance)
    body = "\n\n".join(text for part in parts if (text := part(facts)))
    return f"---\n{front_matter(facts)}---\n\n{told_markdown(body)}\n"


def told_markdown(body: str) -> str:
    """The lines that are not code in the reader's language; in a table, each cell."""
    said, in_code = [], False
    for line in body.split("\n"):
        in_code ^= line.startswith("```")
        said.append(line if in_code else _told_line(line))
    return "\n".join(said)


def _told_line(line: str) -> str:
    if line.startswith("| "):
        return f"| {' | '.join(map(tell, line[2:-2].split(' | ')))} |"
    found = MARKED.fullmatch(line)
    assert found, "every line is of this form"
    mark, text, end = found.groups()
    return f"{mark}{tell(text)}{end}"


def front_matter(facts: Facts) -> str:
    """The YAML that the Hub reads; a base model is named only if the Hub may know it."""
    name = str((facts.get("model") or {}).get("name") or "")
    method = str((facts.get("method") or {}).get("name") or "")
    fields: dict[str, Any] = {
        "library_name": "peft" if facts.get("adapter") else "transformers",
        "pipeline_tag": pipeline(facts),
        "tags": [tag for tag in ("onsa", method.replace("_", "-"), "multi-task") if tag],
    }
    if HUB_NAME.fullmatch(name):
        fields["base_model"] = name
    if index := model_index(facts):
        fields["model-index"] = index
    text: str = yaml.safe_dump(fields, allow_unicode=True, sort_keys=False)
    return text


def public_name(name: object) -> str:
    """The model's name; of a path only the last part, since cards are published."""
    text = str(name)
    return text if HUB_NAME.fullmatch(text) else re.split(r"[\\/]", text.rstrip("\\/"))[-1]


def pipeline(facts: Facts) -> str:
    kinds = [str(task.get("kind")) for task in facts.get("tasks") or []]
    found = {PIPELINES.get(kind, "text-generation") for kind in kinds}
    return found.pop() if len(found) == 1 else "text-generation"


def model_index(facts: Facts) -> list[dict[str, Any]]:
    """The tuned model's scores in the form of the Hub's leaderboards."""
    tuned = tuned_result(list(facts.get("results") or []))
    results = []
    for task, metric in metrics_of(facts).items():
        score = score_in(tuned, task) if tuned else None
        if score is not None:
            kind = metric.name.lower().replace(" ", "_")
            results.append(
                {
                    "task": {"type": pipeline(facts)},
                    "dataset": {"type": "custom", "name": task},
                    "metrics": [{"type": kind, "name": metric.name, "value": score.mean}],
                }
            )
    title = str(facts.get("title") or "onsa model")
    return [{"name": title, "results": results}] if results else []


def sentence(text: str) -> str:
    """A sentence in the reader's language, before its marks are escaped."""
    return plain(tell(text))


def plain(value: object) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|!~])", r"\\\1", text)


def fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def summary(facts: Facts) -> str:
    found = verdict(facts)
    alarms = [f"**{sentence(alarm)}**" for alarm in found.alarms]
    said = [sentence(each) for each in found.sentences]
    parts = [f"# {plain(facts.get('title') or 'onsa model')}", f"**{sentence(found.headline)}**"]
    return "\n\n".join(parts + ([bullets(alarms + said)] if alarms or said else []))


def table(facts: Facts) -> str:
    """All scores with their intervals."""
    results = [result for result in facts.get("results") or [] if result.get("scores")]
    metrics = metrics_of(facts)
    if not results or not metrics:
        return ""
    head = ["Task", *(plain(capital(short_name_of(result.get("label")))) for result in results)]
    lines = [head, ["---", *("---:" for _ in results)]]
    for task, metric in metrics.items():
        direction = "" if metric.higher_is_better else ", lower is better"
        cells = [f"{plain(task)} ({plain(metric.name)}{direction})"]
        for result in results:
            score = score_in(result, task)
            interval = metric.interval_text(score) if score else ""
            text = metric.text(score.mean if score else None)
            cells.append(f"{text} ({interval})" if interval else text)
        lines.append(cells)
    rows = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return (
        f"## Scores\n\n{rows}\n\nIn brackets: 95 % intervals over the evaluation examples of one "
        "run. They do not cover the spread between seeds."
    )


def notes(facts: Facts) -> str:
    lines = [sentence(note) for note in facts.get("notes") or []]
    return f"## Do not miss\n\n{bullets(lines)}" if lines else ""


def training(facts: Facts) -> str:
    method, model = facts.get("method") or {}, facts.get("model") or {}
    tuned = tuned_result(list(facts.get("results") or [])) or {}
    lines = []
    if method.get("name"):
        paper = f", {plain(method['paper'])}" if method.get("paper") else ""
        text = f": {sentence(method['summary'])}" if method.get("summary") else ""
        lines.append(f"Method: {plain(short_name_of(method['name']))}{paper}{text}")
    if model.get("name"):
        size = number(model.get("parameters"))
        parameters = f", {scaled(size)} parameters" if size else ""
        lines.append(f"Base model: {plain(public_name(model['name']))}{parameters}")
    if number(tuned.get("trained_tokens")):
        lines.append(f"Trained tokens: {count(tuned['trained_tokens'])}")
    if number(tuned.get("seconds")):
        lines.append(f"Time: {duration(tuned['seconds'])}")
    if number(tuned.get("peak_memory_bytes")):
        lines.append(f"Peak memory: {memory(tuned['peak_memory_bytes'])}")
    recipe = f"\n\n{fenced(str(facts['recipe']), 'yaml')}" if facts.get("recipe") else ""
    return f"## How it was tuned\n\n{bullets(lines)}{recipe}" if lines or recipe else ""


def data(facts: Facts) -> str:
    lines = []
    for task in facts.get("tasks") or []:
        train, evaluation = count(task.get("train_rows")), count(task.get("eval_rows"))
        rows = f"{train} rows to train, {evaluation} to evaluate"
        digest = f", digest {plain(task['digest'])}" if task.get("digest") else ""
        lines.append(
            f"{plain(task.get('name'))} ({plain(task.get('kind') or 'task')}): {rows}{digest}"
        )
    return f"## Data\n\n{bullets(lines)}" if lines else ""


WHOLE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)"""

ADAPTER = """\
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoPeftModelForCausalLM.from_pretrained(folder)"""

ADAPTER_OVER_FOUR_BITS = """\
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer, BitsAndBytesConfig

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
base = BitsAndBytesConfig(  # as it was in training and in scoring
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
)
model = AutoPeftModelForCausalLM.from_pretrained(folder, quantization_config=base)"""


CLASSIFIER = """\
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = {folder}  # from where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)"""

# PEFT keeps neither the number of labels nor their names, and a config.json beside the adapter
# would be taken for a whole model's (transformers 5.23).
CLASSIFYING_ADAPTER = """\
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

folder = {folder}  # from where this file lies
labels = {labels}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoPeftModelForSequenceClassification.from_pretrained(
    folder,
    num_labels=len(labels),
    id2label=dict(enumerate(labels)),
    label2id={{label: number for number, label in enumerate(labels)}},
    problem_type={problem},
    pad_token_id=tokenizer.pad_token_id,
)"""


def _use_of_heads(facts: Facts) -> str:
    """How each head's classifier is loaded, where all tasks have heads."""
    tasks = facts.get("tasks") or []
    needed = "".join(f"import {name}\n" for name in facts.get("imports") or [])
    blocks = []
    for task in tasks:
        head = task["head"]
        problem = "regression" if head["problem"] == "ranking" else head["problem"]
        text = CLASSIFYING_ADAPTER if facts.get("adapter") else CLASSIFIER
        code = text.format(
            folder=repr("." if len(tasks) == 1 else f"./{task['name']}"),
            labels=repr(head["labels"] or ["LABEL_0"]),
            problem=repr(problem),
        )
        blocks.append(fenced(needed + code, "python"))
    return "## Use\n\n" + "\n\n".join(blocks)


def use(facts: Facts) -> str:
    tasks = facts.get("tasks") or []
    if tasks and all(task.get("head") for task in tasks):
        return _use_of_heads(facts)
    if pipeline(facts) != "text-generation":
        return ""
    adapter = facts.get("adapter")
    needed = "".join(f"import {name}\n" for name in facts.get("imports") or [])
    if not adapter:
        return f"## Use\n\n{fenced(WHOLE, 'python')}"
    base = plain(public_name((facts.get("model") or {}).get("name") or "its base"))
    size = memory(number(adapter.get("stored_bytes")) or 0)
    said = f"An adapter over {base}, which `adapter_config.json` names: {size}."
    code = ADAPTER_OVER_FOUR_BITS if adapter.get("quantization") else ADAPTER
    return f"## Use\n\n{said}\n\n{fenced(needed + code, 'python')}"


def provenance(facts: Facts) -> str:
    versions = facts.get("versions") or {}
    model = facts.get("model") or {}
    lines = []
    if facts.get("created"):
        by = f" by onsa {plain(facts['onsa_version'])}" if facts.get("onsa_version") else ""
        lines.append(f"Made {plain(moment(facts['created']))}{by}")
    if facts.get("seed") is not None:
        lines.append(f"Seed {plain(facts['seed'])}")
    if versions:
        lines.append(plain(listed(f"{name} {version}" for name, version in versions.items())))
    if model.get("digest"):
        lines.append(f"Digest of the base model: {plain(model['digest'])}")
    command = f"\n\n{fenced(str(facts['command']), 'sh')}" if facts.get("command") else ""
    return f"## Where it comes from\n\n{bullets(lines)}{command}" if lines or command else ""
