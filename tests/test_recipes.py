"""Every recipe in recipes/ is valid, and runs from end to end on a tiny model and a few rows."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onsa.commands.add import Addition, add_tasks
from onsa.commands.check import check_recipe
from onsa.commands.check_view import show
from onsa.commands.compare import compare
from onsa.commands.tune import carry_out, read_recipe
from onsa.files import read_json, write_json
from onsa.methods import all_methods, method_settings
from onsa.methods.cpi_ft import CpiFt
from onsa.recipe.reading import build_recipe, read_raw
from onsa.recipe.schema import Recipe
from onsa.run import Run
from onsa.settings import validated
from onsa.tasks import find_kind

PAGES = Path(__file__).parent.parent / "docs" / "methods"
RECIPES = Path(__file__).parent.parent / "recipes"
SHARED = "../../shared/data"  # as the recipes write it, from their folder
TUNE = (
    "first", "cpi_ft", "sequence", "specialists", "five_tasks", "partial", "prompt_only", "merge",
    "lora", "compare", "gradual", "layernorm", "fangle", "green", "wise_ft", "adapter", "expand",
    "soft_prompts", "kin", "japanese_lora", "classify", "glue", "jglue",
)  # fmt: skip
ADD = ("add",)
QUICK = ("num_train_epochs=1", "precision=float32")
LONGEST = 3000  # tokens; the tiny model's are bytes
FEW_ROWS = {"train_rows": 4, "eval_rows": 3, "max_new_tokens": 2}

TinyModel = Callable[..., Path]


def shared_data() -> Path:
    return Path(os.environ.get("ONSA_SHARED_DATA") or RECIPES / SHARED)


def path_of(name: str) -> Path:
    return RECIPES / f"{name}.yaml"


def valid(name: str) -> Recipe:
    raw = read_raw(path_of(name))
    if name not in ADD:
        return build_recipe(raw, method_settings(), path_of(name))
    of_the_run = {"model": "m", "output": "o", "method": "add"}
    return build_recipe({**of_the_run, **raw}, {"add": Addition}, path_of(name))


def small(name: str, *overrides: str) -> list[str]:
    """Overrides that make a recipe quick: few rows, short replies."""
    few = [text for task in valid(name).tasks for text in _few(task.name, task.kind, task.options)]
    return [*QUICK, *few, *overrides]


def _few(task: str, kind: str, options: dict[str, Any]) -> list[str]:
    known = set(find_kind(kind).settings.model_fields)
    if find_kind(kind).mode != "generate":
        known -= {"max_new_tokens"}
    texts = [f"tasks.{task}.{key}={value}" for key, value in FEW_ROWS.items() if key in known]
    for key in ("train", "eval"):
        if str(options.get(key, "")).startswith(SHARED):
            place = shared_data().resolve() / options[key].removeprefix(f"{SHARED}/")
            texts.append(f"tasks.{task}.{key}={place}")
    return texts


def tune_small(name: str, model: Path, output: Path, *overrides: str) -> Run:
    given = small(name, f"model={model}", f"output={output}", *overrides)
    return carry_out(read_recipe(path_of(name), given), RECIPES)


def labels(folder: Path) -> list[str]:
    return [row["label"] for row in read_json(folder / "report.json")["results"]]


def test_every_recipe_is_known_here() -> None:
    assert {path.stem for path in RECIPES.glob("*.yaml")} == {*TUNE, *ADD}


def test_every_method_has_a_recipe_and_a_page() -> None:
    shown: set[str] = set()
    for name in TUNE:
        recipe = valid(name)
        shown |= {recipe.method, *(baseline.method for baseline in recipe.baselines)}
    assert shown == set(all_methods())
    pages = [path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")]
    for name in all_methods():
        named = re.compile(rf"^#+ .*`{name}`|^\|.*`{name}`", re.M)
        assert (PAGES / f"{name}.md").is_file() or any(map(named.search, pages)), name


def test_the_relatives_of_lora_are_compared(tiny_model: TinyModel, tmp_path: Path) -> None:
    given = small("kin", f"model={tiny_model()}")
    folder = compare(path_of("kin"), given, methods=["lora", "ia3"], output=tmp_path / "kin")
    assert not any(row["why"] for row in read_json(folder / "compare.json")["rows"])


@pytest.mark.parametrize("name", [*TUNE, *ADD])
def test_a_recipe_is_valid_and_its_files_are_there(name: str) -> None:
    recipe = valid(name)
    for task in (*recipe.tasks, *recipe.untrained_tasks):
        settings = validated(find_kind(task.kind).settings, task.options, task.name)
        paths = (getattr(settings, key, None) for key in ("train", "eval"))
        for path in filter(None, paths):
            assert path.startswith(SHARED) or (RECIPES / path).is_file(), path


def test_cpi_ft_shows_every_setting_with_its_default() -> None:
    shown = valid("cpi_ft").settings
    assert set(shown) == set(CpiFt.model_fields)
    assert CpiFt(**shown) == CpiFt()


def test_add_shows_every_setting_with_its_default() -> None:
    shown = valid("add").settings
    assert set(shown) == set(Addition.model_fields)
    assert Addition(**shown) == Addition()


def test_first_stays_short() -> None:
    assert len(path_of("first").read_text(encoding="utf-8").splitlines()) <= 10


def test_first_runs_and_a_task_is_added(tiny_model: TinyModel, tmp_path: Path) -> None:
    first = tune_small("first", tiny_model(), tmp_path / "first")
    assert labels(first.folder) == ["base", "full", "cpi_ft"]
    added = add_tasks(first.folder, path_of("add"), small("add"))
    assert [task.name for task in added.tasks] == ["past_tense", "numbers", "opposites"]


@pytest.mark.parametrize(
    ("name", "results"),
    [
        ("cpi_ft", ["base", "full", "cpi_ft"]),
        ("sequence", ["base", "full", "sequence", "random_groups", "by_hand", "cpi_ft"]),
        ("specialists", ["base", "full", "single"]),
        ("prompt_only", ["base", "zero_shot", "random_examples", "prompt_only"]),
        ("merge", ["base", "full", "mean", "slerp", "task_arithmetic", "dare", "merge"]),
        ("lora", ["base", "full", "lora"]),
        ("japanese_lora", ["base", "lora"]),
        ("gradual", ["base", "full", "gradual"]),
        ("layernorm", ["base", "all_norms", "full", "layernorm"]),
        ("fangle", ["base", "smallest", "full", "fangle"]),
        ("green", ["base", "full", "green"]),
        ("classify", ["base", "lora", "full"]),
        ("wise_ft", ["base", "full", "wise_ft"]),
        ("adapter", ["base", "lora", "adapter"]),
        ("soft_prompts", ["base", "p_tuning", "prompt_tuning", "prefix"]),
    ],
)
def test_a_recipe_runs(
    name: str, results: list[str], tiny_model: TinyModel, tmp_path: Path
) -> None:
    assert labels(tune_small(name, tiny_model(), tmp_path).folder) == results


def test_check_shows_what_a_head_reads_and_is_to_say(tiny_model: TinyModel, tmp_path: Path) -> None:
    given = small("classify", f"model={tiny_model()}", f"output={tmp_path}")
    (task,) = check_recipe(path_of("classify"), given)["tasks"]
    (read, text), (trained, label) = task["sample"]
    assert (read, bool(text), trained) == (False, True, True)
    assert label in ("positive", "negative")


def test_check_speaks_of_heads_and_parts_long_names(
    tiny_model: TinyModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At 80 columns."""
    given = small("classify", f"model={tiny_model()}", f"output={tmp_path}")
    facts = check_recipe(path_of("classify"), given)
    facts["tasks"][0]["name"] = "product_reviews_in_several_languages_of_2024"
    monkeypatch.setenv("COLUMNS", "80")
    show(facts)
    said = capsys.readouterr().out
    lines = [line.strip() for line in said.splitlines()]
    assert max(map(len, said.splitlines())) <= 80
    assert lines[lines.index("product_reviews_in_several_") + 1].startswith("languages_of_2024  ")
    assert "rows for heads trained by" in " ".join(lines)
    assert "what its head is to say in ⟦…⟧" in " ".join(lines)
    assert "reply tokens" not in said
    assert "trained an" not in said


def test_partial_runs(tiny_model: TinyModel, tmp_path: Path) -> None:
    run = tune_small("partial", tiny_model(), tmp_path, "last_blocks=1")
    assert labels(run.folder) == ["base", "full", "feed_forward", "attention", "partial"]


def test_expand_runs(tiny_model: TinyModel, tmp_path: Path) -> None:
    run = tune_small("expand", tiny_model(), tmp_path, "every=1")
    assert labels(run.folder) == ["base", "full", "expand"]


def long_model(model: Path, folder: Path) -> Path:
    """The model with room for long texts: its positions are rotations, so any number will do."""
    shutil.copytree(model, folder)
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {**config, "max_position_embeddings": LONGEST})
    return folder


def test_compare_compares_all_that_it_names(tiny_model: TinyModel, tmp_path: Path) -> None:
    pytest.importorskip("reasoning_gym", reason="needs the extra 'demo'")
    model = long_model(tiny_model(), tmp_path / "long")
    given = small("compare", f"model={model}", "baselines.last_third.last_blocks=1")
    output = tmp_path / "compared"
    folder = compare(path_of("compare"), [*given, f"max_length={LONGEST}"], output=output)
    rows = read_json(folder / "compare.json")["rows"]
    assert [row["label"] for row in rows] == [
        "base", "cpi_ft", "four_examples", "full", "last_third", "lora", "green", "merge", "single",
    ]  # fmt: skip
    assert not any(row["why"] for row in rows)


@pytest.fixture
def data_sets() -> None:
    if not shared_data().is_dir():
        pytest.skip(f"no data sets at {shared_data()}; ONSA_SHARED_DATA may name their folder")


@pytest.mark.usefixtures("data_sets")
def test_tasks_of_glue_run_and_are_scored_on_the_way(tiny_model: TinyModel, tmp_path: Path) -> None:
    rows = ("tasks.banking77.train_rows=800", "baselines=[]", "eval_steps=0.5")
    run = tune_small("glue", tiny_model("bert", is_decoder=False), tmp_path, *rows)
    assert labels(run.folder) == ["base", "full"]
    (way,) = read_json(run.folder / "report.json")["best_states"]
    assert [set(point["scores"]) for point in way["points"]] == [
        {"sst2", "banking77", "entailment", "relatedness"}
    ] * 2


@pytest.mark.usefixtures("data_sets")
def test_tasks_of_jglue_run(tiny_model: TinyModel, tmp_path: Path) -> None:
    run = tune_small("jglue", tiny_model("gemma3_text"), tmp_path, "eval_steps=1", "max_length=500")
    assert labels(run.folder) == ["base", "lora"]
    kinds = {"polarity", "entailment", "inference", "similarity", "language_model"}
    assert {path.name for path in (run.folder / "model").iterdir() if path.is_dir()} == kinds


@pytest.mark.usefixtures("data_sets")
def test_five_tasks_run(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = long_model(tiny_model(), tmp_path / "long")
    # Batches of one row: padding long rows, and masking it, would double the time.
    given = (f"max_length={LONGEST}", "per_device_train_batch_size=1")
    run = tune_small("five_tasks", model, tmp_path / "run", *given)
    assert labels(run.folder) == ["base", "full", "cpi_ft"]
    facts = read_json(run.folder / "report.json")
    assert [task["metric"] for task in facts["tasks"]] == [
        "final number", "accuracy", "ROUGE-L", "ROUGE-L", "loss",
    ]  # fmt: skip
