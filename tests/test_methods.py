"""What every method in the folder must hold: new ones are found and tested by themselves.

On two architectures: on a Llama, and on a GPT-2, which is the less alike of those at hand. It has
dropout, so that going on after a stop needs the random numbers of before; matrices stored the other
way round, query, key and value in one of them; biases and learned positions. The others run once
with every method in test_architectures.py. One undisturbed run of a method serves all tests that
only look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import onsa
from onsa.errors import InputError
from onsa.files import read_json
from onsa.methods import all_methods
from onsa.run import Run
from onsa.training.adapters import OnModules
from onsa.weights import Weights
from tests.breaking_off import break_off_at
from tests.conftest import quick_recipe, write_tasks

Keys = Callable[..., dict[str, Any]]
# What moves little of a random model learns next to nothing at the rate that suits its matrices.
RATES = {
    "layernorm": 0.1, "ia3": 0.3, "vera": 0.1, "fourierft": 0.3, "hira": 0.1,
    "hra": 0.03, "lokr": 0.1, "oft": 0.1, "road": 0.1,
    "prefix": 0.1, "p_tuning": 0.03, "prompt_tuning": 0.03,
}  # fmt: skip
# A text before the prompt says nothing to a model whose weights are as small as random ones start.
SPOKEN_TO = {"prefix", "p_tuning", "prompt_tuning"}
ENCODED = {"p_tuning"}  # what trains makes what is stored, and is more
# Of a random model's query and value, turned and not moved, next to no loss depends.
WIDER = {"hra": {"target_modules": "all-linear"}}
STRAINED = {
    "weight_decay": 0.1, "max_grad_norm": 0.5, "gradient_accumulation_steps": 2, "eval_rows": 2,
}  # fmt: skip

# They go the same way through onsa as ia3, which stands for them where only onsa's own part is
# tested (what is refused, what is counted, what is reported) and on the second architecture.
LIKE_IA3 = {
    name for name, each in all_methods().items() if issubclass(each.settings, OnModules)
} - {"ia3"}
OWN_WAY = [name for name in all_methods() if name not in LIKE_IA3]


def keys_of(name: str, architecture: str = "llama") -> dict[str, Any]:
    """The keys that choose a method: its name, and settings it cannot do without."""
    settings = {**all_methods()[name].example, **WIDER.get(name, {})}
    return {"architecture": architecture, "method": name, **settings}


def on_two(names: Iterable[str]) -> list[Any]:
    """The methods' keys on a Llama, and those of methods with a way of their own on a GPT-2."""
    on_llama = [pytest.param(keys_of(name), id=name) for name in names]
    return on_llama + [pytest.param(keys_of(name, "gpt2"), id=f"{name}-gpt2") for name in OWN_WAY]


@pytest.fixture(scope="module", params=on_two(all_methods()))
def method(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


@pytest.fixture(scope="module")
def calm(
    method: dict[str, Any],
    tiny_model: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """An undisturbed run of the method, for every test that only looks at one."""
    folder = tmp_path_factory.mktemp("calm")
    recipe = quick_recipe(tiny_model, write_tasks(folder), folder / "run")
    return onsa.tune(**recipe(**method, **STRAINED))


def models(run: Run) -> dict[str, Path]:
    """The model or adapter folders of a run: one, or one for each task."""
    found = {path.parent for path in (run / "model").rglob("*config.json")}
    assert found
    return {str(folder.relative_to(run / "model")): folder for folder in sorted(found)}


def is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def digests(run: Run) -> dict[str, bytes]:
    return {
        str(path.relative_to(run.folder)): path.read_bytes()
        for path in sorted((run / "model").rglob("*.safetensors"))
    }


def trains(method: dict[str, Any]) -> bool:
    return all_methods()[method["method"]].trains


def last_training(run: Run, path: str) -> dict[str, Any]:
    facts = [r.facts for r in run.history if r.path == path and "trained_entries" in r.facts]
    return facts[-1]


def start_of(run: Run) -> Weights:
    """The base, or the larger model that the method made of it."""
    return run.starts.get(run.recipe.method, run.base)


def test_defaults_construct_and_unknown_settings_are_refused(
    recipe: Keys, method: dict[str, Any]
) -> None:
    found = all_methods()[method["method"]]
    assert found.summary.endswith(".")
    found.settings(**found.example)
    with pytest.raises(InputError, match="unknown key 'no_such_key'"):
        onsa.tune(**recipe(**method, no_such_key=1))


def test_the_loss_falls_and_the_result_loads(
    recipe: Keys, method: dict[str, Any], tiny_model: Callable[..., Path]
) -> None:
    keys = {**method, "num_train_epochs": 3}
    keys["learning_rate"] = RATES.get(method["method"], 3e-3)
    if method["method"] in SPOKEN_TO:
        keys["model"] = str(tiny_model("llama", initializer_range=0.1))
    run = onsa.tune(**recipe(**keys))
    first, last = {}, {}
    for curve in read_json(run / "report.json")["curves"]:
        for task, points in curve["points"].items():
            first[task] = max(first.get(task, 0), points[0][1])  # of those that begin at the base
            last[task] = points[-1][1]
    assert set(first) == ({"echo", "upper", "after"} if trains(method) else set())
    assert all(last[task] < first[task] for task in first)
    for folder in models(run).values():
        loads(folder)


def loads(folder: Path) -> Any:
    """The model of a folder as transformers or PEFT by itself makes it, nothing missing or over."""
    return loads_with_peft(folder) if is_adapter(folder) else loads_with_transformers(folder)


def loads_with_transformers(folder: Path) -> Any:
    model, told = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    shared = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert shared == model.config.tie_word_embeddings
    return model


def loads_with_peft(folder: Path) -> Any:
    """As PEFT does by itself; what is missing would start at random.

    PEFT has no bottleneck adapters: `adapter` needs `onsa.models.peft_bottleneck` imported, as it
    is here.
    tests/test_bottleneck.py loads one in a process of its own, which imports nothing else of onsa.
    """
    stored = load_file(folder / "adapter_model.safetensors")
    loaded = AutoPeftModelForCausalLM.from_pretrained(folder)
    found = get_peft_model_state_dict(loaded)
    assert found.keys() == stored.keys()
    assert all(torch.equal(found[name], stored[name]) for name in stored)
    return loaded


def test_what_may_move_has_moved_and_nothing_else(calm: Run, method: dict[str, Any]) -> None:
    facts = last_training(calm, calm.recipe.method) if trains(method) else {"trained_entries": 0}
    for folder in models(calm).values():
        stored = load_file(next(folder.glob("*.safetensors")))
        assert all(torch.isfinite(tensor).all() for tensor in stored.values())
        if is_adapter(folder):
            entries = sum(tensor.numel() for tensor in stored.values())
            assert (entries < facts["trained_entries"]) == (method["method"] in ENCODED)
            continue
        start = start_of(calm)
        still = [name for name in start.names if torch.equal(start[name], stored[name])]
        entries = sum(start[name].numel() for name in still)
        assert entries <= start.entry_count - facts["trained_entries"]
        assert entries == start.entry_count or trains(method)
    assert all(entry["changed"] == 0 for entry in read_json(calm / "report.json")["held"])


def test_stopped_and_resumed_gives_the_bytes_of_the_undisturbed_run(
    recipe: Keys, method: dict[str, Any], calm: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stormy = recipe(**method, **STRAINED, save_steps=2)
    break_off_at(monkeypatch, 7, 14)  # the second time after it went on
    stops = 0
    while True:
        try:
            run = onsa.tune(**stormy)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops == (2 if trains(method) else 0)
    assert digests(run) == digests(calm)


def test_a_trained_share_that_is_reported_is_the_counted_one(calm: Run) -> None:
    for entry in read_json(calm / "report.json")["held"]:
        record = next(record for record in calm.history if record.name == entry["stage"])
        assert entry["entries"] == record.facts["held"]["entries"] < start_of(calm).entry_count
    assert read_json(calm / "report.json")["model"]["parameters"] == sum(
        parameter.numel()
        for parameter in AutoModelForCausalLM.from_pretrained(calm.base.folder).parameters()
    )
