"""Adapters: where they sit, what they leave alone, and that they train as PEFT's own do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    LoraConfig,
    LoraModel,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    DataCollatorForSeq2Seq,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import onsa
from benchmarks.trainer import batches_of
from onsa.commands.chat import load_scorer, reply_to
from onsa.commands.merge import fold, merge_adapter
from onsa.errors import InputError
from onsa.files import read_json
from onsa.masks import ParameterMask
from onsa.methods import all_methods
from onsa.methods.lora import Lora, _left_out, add_lora
from onsa.run import Run
from onsa.training.adapters import OnModules, add_on_modules
from tests.conftest import ARCHITECTURES

Keys = Callable[..., dict[str, Any]]
TinyModel = Callable[..., Path]
FUSED = {"gpt2": "c_attn", "gpt_neox": "query_key_value"}
HEADS, HIDDEN = 4, 32
ON_MODULES = [name for name, each in all_methods().items() if issubclass(each.settings, OnModules)]
NOT_ON_CONV1D = {
    "delora", "hra", "loha", "lokr", "miss", "oft", "road", "shira",
}  # fmt: skip


def load(folder: Path, **how: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **how)


def merged(run: Run) -> Any:
    """What PEFT by itself makes of the exported adapter."""
    return PeftModel.from_pretrained(load(run.base.folder), run / "model").merge_and_unload()


def key_rows(architecture: str, weight: torch.Tensor) -> torch.Tensor:
    """The key's rows of a fused matrix (outputs x inputs), by the architectures' own code."""
    if architecture == "gpt2":
        return weight.split(HIDDEN, dim=0)[1]
    return weight.view(HEADS, 3 * HIDDEN // HEADS, -1).chunk(3, dim=1)[1]


def fused_weights(architecture: str, model: Any) -> list[torch.Tensor]:
    """The fused matrices of all blocks, outputs x inputs."""
    return [
        module.weight.detach().T if architecture == "gpt2" else module.weight.detach()
        for name, module in model.named_modules()
        if name.endswith(FUSED[architecture])
    ]


@pytest.mark.parametrize("architecture", sorted(FUSED))
def test_the_key_s_rows_of_a_fused_matrix_stay_bit_for_bit(architecture: str, recipe: Keys) -> None:
    strained = {"weight_decay": 0.1, "max_grad_norm": 0.5, "lora_plus_ratio": 4.0}
    run = onsa.tune(**recipe(architecture, method="lora", num_train_epochs=0.2, **strained))
    before = fused_weights(architecture, load(run.base.folder))
    after = fused_weights(architecture, merged(run))
    assert len(before) == len(after) == 2
    for old, new in zip(before, after, strict=True):
        assert torch.equal(key_rows(architecture, old), key_rows(architecture, new))
        moved = (old != new).any(dim=1)
        assert int(moved.sum()) == 2 * HIDDEN  # every row of query and value
    [proof] = read_json(run / "report.json")["held"]
    assert proof["rule"] == "rows of fused matrices that were not chosen"
    assert proof["entries"] == 2 * HIDDEN * Lora().r  # the key's rows of B, of two blocks
    assert proof["changed"] == 0
    assert proof["digest_before"] == proof["digest_after"]


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_query_and_value_are_found(architecture: str, tiny_model: TinyModel) -> None:
    settings = Lora(use_dora=True, bias="lora_only")
    model = add_lora(settings, load(tiny_model(architecture)))
    held = _left_out(settings, model)
    adapted = {name.split(".lora_A")[0] for name, _ in model.named_parameters() if "lora_A" in name}
    ends = {name.rpartition(".")[2] for name in adapted}
    if architecture not in FUSED:
        plain = {"query", "value"} if architecture in ("bert", "roberta") else {"q_proj", "v_proj"}
        assert (ends, held) == (plain, None)
        return
    assert ends == {FUSED[architecture]}
    assert isinstance(held, ParameterMask)
    # Of every block: B (rank 8), the lengths of the rows, and the bias; a third of each.
    assert held.count == 2 * HIDDEN * (8 + 1 + 1)


def test_a_whole_fused_matrix_may_be_named(tiny_model: TinyModel) -> None:
    settings = Lora(target_modules=["c_attn"])
    assert _left_out(settings, add_lora(settings, load(tiny_model("gpt2")))) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target_modules": ["q_prj"]}, "did you mean 'q_proj'"),
        ({"target_modules": "nothing"}, "fits the whole name of no module"),
        ({"layer_decay": 0.9}, "'layer_decay' has no effect with method 'lora'"),
        ({"learning_rates": {"*": 1e-3}}, "'learning_rates' has no effect with method 'lora'"),
        ({"init_lora_weights": False}, "another model than the base"),
    ],
)
def test_what_cannot_be_is_one_line(recipe: Keys, given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        onsa.tune(**recipe(method="lora", **given))


def test_other_adapters_have_peft_s_names_and_defaults() -> None:
    for name, found in all_methods().items():
        if not issubclass(found.settings, OnModules):
            continue
        theirs = {each.name: each for each in fields(PEFT_TYPE_TO_CONFIG_MAPPING[name.upper()])}
        for key, own in found.settings.model_fields.items():
            if key != "trained_tokens":
                assert own.default == theirs[key].default, (name, key)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("kind", ON_MODULES)
def test_other_adapters_fit_every_architecture_and_merge(
    kind: str, architecture: str, tiny_model: TinyModel
) -> None:
    found = all_methods()[kind]
    base = load(tiny_model(architecture))
    if architecture == "gpt2" and kind in NOT_ON_CONV1D:
        with pytest.raises(InputError, match=f"{kind}: cannot be put on this gpt2 .*Conv1D"):
            add_on_modules(kind, found.settings(**found.example), base)
        return
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        before = base.eval()(ids).logits
        model = add_on_modules(kind, found.settings(**found.example), base).eval()
        moved = (model(ids).logits - before).abs().max()
    assert moved < 1e-5 or kind == "fourierft"  # which starts at random coefficients
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data += 0.01 * torch.randn(parameter.shape)
            assert torch.isfinite(parameter).all(), name
    fold(model.eval(), Path(kind))  # refuses a model that says something else


def losses_of(run: Run) -> list[float]:
    facts = next(record.facts for record in run.history if record.name == run.recipe.method)
    return [loss for _, loss in facts["curve"]["echo"]]


class Losses(TrainerCallback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kw: Any) -> None:
        self.seen += [logs["loss"]] if "loss" in logs else []


LORA = LoraConfig(task_type="CAUSAL_LM", r=8, target_modules=["q_proj", "v_proj"])
FOUR_BITS = {
    "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": torch.float32,
}  # fmt: skip
PLAIN = {
    "lora": LORA,
    "lora nf4": LORA,
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=20),
    "p_tuning": PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=20),
    "prompt_tuning": PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=20, prompt_tuning_init="SAMPLE_VOCAB"
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_the_losses_are_those_of_peft_and_the_plain_trainer(
    name: str, recipe: Keys, tiny_model: TinyModel, tokenizer: Any, tmp_path: Path
) -> None:
    lively = str(tiny_model("llama", initializer_range=0.1))
    method, _, quantization = name.partition(" ")
    given = recipe(method=method, seed=3, warmup_ratio=0.0, model=lively)
    how = {}
    if quantization:
        pytest.importorskip("bitsandbytes", reason="needs the extra 'qlora'")
        given["quantization"], how["quantization_config"] = "nf4", BitsAndBytesConfig(**FOUR_BITS)
    # Whole batches only: the plain Trainer cuts the rows into eights one after another.
    run = onsa.tune(**{**given, "tasks": [{**given["tasks"][0], "train_rows": 48}]})
    model = load(run.base.folder, **how)
    torch.manual_seed(3)
    seen = Losses()
    trainer = Trainer(
        model=get_peft_model(model, copy.deepcopy(PLAIN[name])),
        args=TrainingArguments(
            output_dir=str(tmp_path / "plain"),
            learning_rate=3e-3,
            warmup_steps=0,
            num_train_epochs=1,
            per_device_train_batch_size=8,
            train_sampling_strategy="sequential",
            logging_steps=1,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            dataloader_pin_memory=False,
        ),
        train_dataset=batches_of(run),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        callbacks=[seen],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    assert losses_of(run) == pytest.approx(seen.seen, abs=6e-5)


def test_a_run_s_adapter_is_merged_into_a_plain_model(recipe: Keys) -> None:
    strong = {"use_dora": True, "use_rslora": True, "bias": "lora_only", "lora_alpha": 32}
    run = onsa.tune(**recipe("qwen2", method="lora", num_train_epochs=0.2, **strong))
    said = merge_adapter(run.folder)
    assert said.startswith("merged")
    plain, told = AutoModelForCausalLM.from_pretrained(run / "merged", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    ids = torch.arange(3, 40)[None]
    adapted = PeftModel.from_pretrained(load(run.base.folder), run / "model").eval()
    with torch.inference_mode():
        ours, theirs, base = (
            model(ids).logits for model in (plain, adapted, load(run.base.folder))
        )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert (ours - base).abs().max() > 1e-3
    with pytest.raises(InputError, match="is there already"):
        merge_adapter(run.folder, run / "model")
    scorer = load_scorer(run.folder)  # of 'onsa chat'
    assert isinstance(reply_to(scorer, [{"role": "user", "content": "again ba"}], 4), str)


def test_a_merged_model_that_says_other_things_is_refused(
    recipe: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a tuner folds wrongly: here it leaves its update out."""
    run = onsa.tune(**recipe(method="lora", learning_rate=3e-2))
    monkeypatch.setattr(LoraModel, "merge_and_unload", LoraModel.unload)
    with pytest.raises(InputError, match="merged, its logits would differ by"):
        merge_adapter(run.folder)
    assert not (run / "merged").exists()


def test_a_whole_model_is_not_merged(tiny_model: TinyModel) -> None:
    with pytest.raises(InputError, match="nothing to merge"):
        merge_adapter(tiny_model())
