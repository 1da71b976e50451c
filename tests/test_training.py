"""What is trained: which tokens, with what weight, in which steps, and what chance adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import onsa
from onsa.data.batches import plan_batches, plan_epochs, plan_tokens, sequences_of
from onsa.data.encoded import UNTRAINED, Encoded
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.files import read_json
from onsa.losses import token_losses
from onsa.recipe.training import Training
from onsa.run import Run
from onsa.training.collators import collator, weights_of_losses
from onsa.training.noise import noisy_embeddings, set_dropout
from onsa.training.train import train
from onsa.training.trainer import PlannedTrainer
from onsa.weights import Weights
from tests.breaking_off import break_off_at
from tests.conftest import write_rows

TinyModel = Callable[..., Path]
Keys = Callable[..., dict[str, Any]]
# By so large an epsilon Adam's step is the gradient itself: its size counts, not just its sign.
PLAIN = Training(
    learning_rate=1.0, adam_epsilon=1.0, max_grad_norm=0.0, num_train_epochs=1, warmup_ratio=0,
    precision="float32",
)  # fmt: skip


def talk(*turns: str, **more: Any) -> Example:
    """A conversation of turns, the user's first; a word in capitals is a system message."""
    messages = [{"role": "system", "content": turns[0]}] if turns[0].isupper() else []
    rest = turns[len(messages) :]
    for number, turn in enumerate(rest):
        messages.append({"role": "assistant" if number % 2 else "user", "content": turn})
    return Example(tuple(messages), source="rows.jsonl:3", **more)


class Rows:
    """A task that is nothing but its rows."""

    def __init__(self, name: str, *rows: Example) -> None:
        self.name, self.train, self.weight = name, list(rows), 1.0
        self.digest = f"{name} {rows}"


LENGTHS = ["ba", "be bi", "bi bo bu ba", "bo", "bu bu", "ba ba ba be bi bo", "be be", "bi"]
TWO_TASKS = [
    Rows("a", *(talk("say", words) for words in LENGTHS[:5])),
    Rows("b", *(talk("say it again", words, "once more", words) for words in LENGTHS[5:])),
]


@pytest.fixture
def run(tmp_path: Path, tokenizer: Any, tiny_model: TinyModel) -> Run:
    run = Run(tmp_path / "run")
    run.encoder = Encoder(tokenizer, 100)
    run.companions = tiny_model()
    run.base = Weights(tiny_model())
    return run


def trained(run: Run, name: str, tasks: Any = TWO_TASKS, **keys: Any) -> dict[str, Any]:
    training = PLAIN.model_copy(update=keys)
    return run.step(
        name, train, start=run.base, tasks=tasks, training=training, seed=0, encoder=run.encoder
    )


def batch_of(run: Run, tasks: Any = TWO_TASKS, **keys: Any) -> tuple[dict[str, Any], Any]:
    """All rows as one batch, through the collator that training uses; and the rows."""
    corpus = {task.name: run.encoder.encode_all(task.train) for task in tasks}
    plan = [[(task, row) for task, rows in corpus.items() for row in range(len(rows))]]
    training = PLAIN.model_copy(update=keys)
    config = AutoModelForCausalLM.from_pretrained(run.companions).config
    collate = collator(plan, corpus, training, run.encoder.tokenizer.pad_token_id, config)
    rows = [(list(corpus).index(task), corpus[task][row]) for task, row in plan[0]]
    return collate(rows), [row for _, row in rows]


def losses_of(run: Run, batch: dict[str, Any], **how: Any) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(run.base.folder).eval()
    with torch.no_grad():
        return token_losses(model, batch, **how)


def trained_texts(batch: dict[str, Any], tokenizer: Any) -> list[str]:
    return [tokenizer.decode(row[row != UNTRAINED]) for row in batch["labels"]]


@pytest.mark.parametrize("packing", [False, True])
def test_pain_P3_the_collator_trains_replies_and_nothing_else(run: Run, packing: bool) -> None:
    """Red where labels are the ids, or where packing moves labels away from their tokens."""
    batch, rows = batch_of(run, packing=packing, max_length=100)
    expected = [f"{words}<|im_end|>" * (1 + (n > 4)) for n, words in enumerate(LENGTHS)]
    found = trained_texts(batch, run.encoder.tokenizer)
    assert "".join(found) == "".join(expected)
    assert packing or found == expected
    here = batch["labels"] != UNTRAINED
    assert torch.equal(batch["labels"][here], batch["input_ids"][here])
    assert int(here.sum()) == sum(row.trained_tokens for row in rows)


@pytest.mark.parametrize("packing", [False, True])
def test_pain_P7_every_reply_ends_among_the_trained_tokens(run: Run, packing: bool) -> None:
    """Red where the end of a turn is masked, as a span that stops before it would do."""
    batch, _ = batch_of(run, packing=packing, max_length=100)
    ends = (batch["labels"] == run.encoder.tokenizer.eos_token_id).sum()
    assert int(ends) == 5 + 2 * 3  # a reply in each of five rows, two in each of three


def test_only_the_last_reply_is_trained_where_a_task_asks_for_it(
    recipe: Keys, tmp_path: Path
) -> None:
    turns = [("user", "one"), ("assistant", "uno"), ("user", "two"), ("assistant", "due")]
    messages = [{"role": role, "content": words} for role, words in turns]
    rows = [{"messages": messages}]
    path = write_rows(tmp_path / "talks.jsonl", rows * 6)
    held_out = write_rows(tmp_path / "other.jsonl", rows)
    tokens = {}
    for train_on in ("every_reply", "last_reply"):
        task = {"name": "talks", "kind": "loss", "train": str(path), "eval": str(held_out)}
        keys = recipe(method="full", tasks=[{**task, "train_on": train_on}])
        run = onsa.tune(**{**keys, "output": str(tmp_path / train_on), "overlap_share": 1})
        encoded = run.encoder.encode(run.tasks[0].train[0])
        tokens[train_on] = encoded.trained_tokens
        said = run.encoder.tokenizer.decode([n for n in encoded.labels if n != UNTRAINED])
        assert (
            said
            == {"every_reply": "uno<|im_end|>due<|im_end|>", "last_reply": "due<|im_end|>"}[
                train_on
            ]
        )
    assert tokens["last_reply"] < tokens["every_reply"]


@pytest.mark.parametrize("packing", [False, True])
def test_the_weight_of_a_row_is_that_of_each_of_its_losses(run: Run, packing: bool) -> None:
    weights = [1.0, 0.5, 3.0, 0.0, 1.0]
    rows = [talk("say", words, weight=w) for words, w in zip(LENGTHS, weights, strict=False)]
    tasks = [Rows("a", *rows)]
    batch, encoded = batch_of(run, tasks, packing=packing, max_length=60)
    losses, _ = losses_of(run, batch)
    of_rows = [each.item() for each in weights_of_losses(batch)]
    expected = {row.weight for row in encoded}
    assert len({round(weight, 5) for weight in of_rows}) == len(expected)
    weighted = float((losses * weights_of_losses(batch)).sum() / len(losses))
    alone = []
    for row in rows:
        plain = dataclasses.replace(row, weight=1.0)
        each, _ = losses_of(run, batch_of(run, [Rows("a", plain)])[0])
        alone.append(each)
    above = sum(w * float(each.sum()) for w, each in zip(weights, alone, strict=True))
    below = sum(w * len(each) for w, each in zip(weights, alone, strict=True))
    assert weighted == pytest.approx(above / below, rel=1e-5)


def test_a_row_of_weight_0_teaches_nothing_and_equal_weights_nothing_else(run: Run) -> None:
    first, second = talk("say", "ba be bi"), talk("say", "bo bo")
    silent = dataclasses.replace(second, weight=0.0)
    one = trained(run, "one", [Rows("a", first)])["weights"]
    with_silent = trained(run, "two", [Rows("a", first, silent)])["weights"]
    for name in one.names:
        torch.testing.assert_close(one[name], with_silent[name], rtol=0, atol=2e-5)
    doubled = [dataclasses.replace(row, weight=2.0) for row in (first, second)]
    plain = trained(run, "plain", [Rows("a", first, second)])["weights"]
    assert trained(run, "doubled", [Rows("a", *doubled)])["weights"].digest == plain.digest
    below = dataclasses.replace(second, weight=-1.0)
    with pytest.raises(InputError, match="weights of rows must be 0 or more"):
        trained(run, "below", [Rows("a", first, below)])


def test_smoothing_is_of_training_alone(run: Run) -> None:
    batch, _ = batch_of(run)
    model = AutoModelForCausalLM.from_pretrained(run.base.folder).eval()
    plain, _ = losses_of(run, batch)
    smoothed, _ = losses_of(run, batch, label_smoothing=0.1)
    with torch.no_grad():
        chances = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits.log_softmax(-1)[:, :-1]
    everywhere = -chances[batch["labels"][:, 1:] != UNTRAINED].mean(dim=-1)
    torch.testing.assert_close(smoothed, 0.9 * plain + 0.1 * everywhere, rtol=1e-4, atol=1e-5)
    ends = [
        trained(run, name, label_smoothing_factor=factor)["weights"].digest
        for name, factor in (("plain", 0.0), ("smooth", 0.3))
    ]
    assert ends[0] != ends[1]


def test_pain_P15_eight_at_once_or_one_by_one_is_the_same_step(run: Run) -> None:
    """Rows of other lengths, of two tasks, with weights. Red where the loss of each batch is the
    mean of its own tokens, so that a short row counts as much as a long one."""
    for weights in ([1.0] * 8, [1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 0.25, 1.0]):
        of_row = iter(weights)
        tasks = [
            Rows(task.name, *(dataclasses.replace(r, weight=next(of_row)) for r in task.train))
            for task in TWO_TASKS
        ]
        ends = [
            trained(
                run,
                f"{sum(weights)}/{size}",
                tasks,
                per_device_train_batch_size=size,
                gradient_accumulation_steps=8 // size,
            )["weights"]
            for size in (8, 1)
        ]
        for name in run.base.names:
            for end in ends[1:]:
                torch.testing.assert_close(ends[0][name], end[name], rtol=0, atol=2e-5)


def test_pain_P15_the_loss_is_divided_by_the_tokens_of_the_whole_step(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red where the Trainer's own count of labels comes back: it misses the heads' rows."""
    batch, rows = batch_of(run)
    head = {"labels": torch.tensor([0, 1, 1]), "head": "a"}
    seen = []
    count = PlannedTrainer._get_num_items_in_batch

    def watch(self: Any, batches: Any, device: Any) -> Any:
        seen.append((count(self, batches, device), count(self, [batch, head], device)))
        return seen[-1][0]

    monkeypatch.setattr(PlannedTrainer, "_get_num_items_in_batch", watch)
    trained(run, "counted", per_device_train_batch_size=2, gradient_accumulation_steps=4)
    tokens = sum(row.trained_tokens for row in rows)
    assert [tuple(map(int, pair)) for pair in seen] == [(tokens, tokens + 3)]


def test_pain_P2_order_weights_and_the_loss_of_each_task_are_told(
    run: Run,
) -> None:
    """Red where an epoch repeats the order of the last, a weight is not heeded, or the losses of
    tasks in one batch are not told apart."""
    corpus = {task.name: run.encoder.encode_all(task.train) for task in TWO_TASKS}
    weights = {"a": 2.0, "b": 1.0}
    plan = plan_epochs(corpus, weights, 2, 4, seed=5)
    epochs = plan[: len(plan) // 2], plan[len(plan) // 2 :]
    rows = [[row for batch in epoch for row in batch] for epoch in epochs]
    # Without the largest batch: that it is put first is no mixing.
    order = [[batch for batch in epoch if batch != plan[0]] for epoch in epochs]
    assert order[0] != order[1]
    assert plan == plan_epochs(corpus, weights, 2, 4, seed=5)
    drawn = [task for task, _ in rows[0] + rows[1]]
    assert (drawn.count("a"), drawn.count("b")) == (2 * 2 * 5, 2 * 3)
    step = trained(run, "told", learning_rate=1e-12)
    assert step["trained_tokens"] == sum(row.trained_tokens for r in corpus.values() for row in r)
    curve = run.history[-1].facts["curve"]
    for task in TWO_TASKS:
        losses, _ = losses_of(run, batch_of(run, [task])[0])
        assert curve[task.name][0][1] == pytest.approx(float(losses.mean()), abs=1e-4)


def rows_of(*lengths: int) -> list[Encoded]:
    return [Encoded([1] * n, [UNTRAINED] * (n - 2) + [1, 1]) for n in lengths]


@pytest.mark.parametrize("pack_to", [None, 32])
def test_pain_P5_the_largest_batch_comes_first(pack_to: int | None) -> None:
    """What does not fit must fail in the first step, not after hours. Red without
    `longest_first`."""
    corpus = {"a": rows_of(*range(4, 24)), "b": rows_of(30, 29, 8, 8, 8)}
    weights = {"a": 1.0, "b": 1.0}
    plans = [plan_epochs(corpus, weights, 2, 4, seed, pack_to) for seed in range(4)] + [
        plan_tokens(corpus, weights, 30, 4, 1, pack_to),
        plan_batches(corpus, weights, 9, 4, 2, pack_to),
    ]
    for plan in plans:
        sizes = []
        for batch in plan:
            lengths = [len(corpus[task][row].ids) for task, row in batch]
            if pack_to:
                lengths = [sum(each) for each in sequences_of(lengths, pack_to)]
                assert max(lengths) <= pack_to
                assert len(lengths) <= 4
            sizes.append(len(lengths) * max(lengths))
        assert sizes[0] == max(sizes)


def test_pain_P5_no_memory_is_one_line_with_numbers(
    recipe: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Red without `training_fits` and `scoring_fits`: torch's own message names no key."""

    def too_much(*given: Any, **named: Any) -> Any:
        return torch.empty(2**55)

    for place, patched in (
        ("train", "onsa.training.trainer.PlannedTrainer.training_step"),
        ("score", "onsa.evaluation.scorer.Scorer.reply"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(patched, too_much)
            with pytest.raises(InputError) as caught:
                onsa.tune(**recipe(method="full", output=str(tmp_path / place)))
        said = str(caught.value)
        if place == "train":
            first = "per_device_train_batch_size=4 gradient_accumulation_steps=2 (about "
            assert "full: out of memory with batches of up to 8 x " in said
            assert f"cheapest first: {first}" in said
            assert "gradient_checkpointing=true (about " in said
        else:
            assert "out of memory while 32 rows at once were scored" in said
            assert "per_device_eval_batch_size: 8" in said


def test_cut_on_the_left_the_end_of_the_reply_is_kept(tokenizer: Any) -> None:
    row = talk("BE BRIEF", "say it " * 20, "word " * 6)
    whole = Encoder(tokenizer, 500).encode(row)
    cut = Encoder(tokenizer, 90, "left").encode(row)
    assert len(cut.ids) == 90
    assert list(cut.ids)[-40:] == list(whole.ids)[-40:]
    assert (cut.lost_tokens, cut.cut_tokens) == (0, len(whole.ids) - 90)
    assert cut.trained_tokens == whole.trained_tokens
    text = tokenizer.decode(cut.ids)
    assert text.startswith("<|im_start|>system\nBE BRIEF<|im_end|>\n<|im_start|>user\n")
    # Where the head would take more than half, it goes with the rest.
    short = Encoder(tokenizer, 30, "left").encode(row)
    assert list(short.ids) == list(whole.ids)[-30:]
    lost = Encoder(tokenizer, 8, "left").encode(row)  # of 9; the first one left predicts the next
    assert (lost.lost_tokens, lost.trained_tokens, whole.trained_tokens) == (2, 6, 9)
    assert Encoder(tokenizer, 90).digest != Encoder(tokenizer, 90, "left").digest


def test_what_is_cut_is_said_before_training(recipe: Keys, tmp_path: Path) -> None:
    words = [{"prompt": f"{n}", "completion": "ba " * 30} for n in range(9)]
    path = write_rows(tmp_path / "long.jsonl", words)
    task = {"name": "long", "kind": "loss", "train": str(path), "eval_rows": 2}
    keys = recipe(method="full", tasks=[task], max_length=40)
    for end in ("right", "left"):
        run = onsa.tune(**{**keys, "truncation": end, "output": str(tmp_path / end)})
        said = next(note for note in run.notes if "max_length" in note)
        assert said.startswith(
            f"task long: 7 rows are longer than max_length 40 and cut on the {end}"
        )
        assert ("reply tokens in 7 rows" in said) == (end == "right") or "tokens" in said
        assert said in read_json(run / "report.json")["notes"]


def test_noise_is_on_the_embeddings_and_only_while_training(tiny_model: TinyModel) -> None:
    """The bound of arXiv:2310.05914: alpha over the root of length times width."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model())
    embed, ids = model.get_input_embeddings(), torch.arange(24).reshape(2, 12)
    with noisy_embeddings(model, 5.0):
        model.train()
        noise = embed(ids) - embed.weight[ids]
        model.eval()
        assert torch.equal(embed(ids), embed.weight[ids])
    most = 5.0 / (12 * 32) ** 0.5
    assert 0.9 * most < noise.abs().max() <= most * 1.001
    model.train()
    assert torch.equal(embed(ids), embed.weight[ids])


def test_dropout_is_that_of_the_key_and_its_config_stays(tiny_model: TinyModel) -> None:
    for architecture in ("llama", "gpt2", "gpt_neox", "gemma2", "bert"):
        model = AutoModelForCausalLM.from_pretrained(tiny_model(architecture))
        before, ids = model.config.to_dict(), torch.arange(12).reshape(1, 12)
        set_dropout(model, 0.0)
        model.train()
        assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits), architecture
        set_dropout(model, 0.5)
        assert not torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
        assert model.config.to_dict() == before
    bare: Any = torch.nn.Linear(2, 2)
    bare.config = SimpleNamespace(model_type="perceptron")
    with pytest.raises(InputError, match="a perceptron has no dropout; take it out"):
        set_dropout(bare, 0.1)


CHANCE = {"neftune_noise_alpha": 5.0, "dropout": 0.2, "label_smoothing_factor": 0.1}


@pytest.mark.parametrize("more", [{}, {"packing": True, "max_length": 64}])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_stopped_and_resumed_the_same_numbers_are_drawn(
    recipe: Keys, method: str, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {**CHANCE, **more, "method": method, "eval_rows": 2, "per_device_train_batch_size": 2}
    calm = onsa.tune(**recipe(**keys, output=str(tmp_path / "calm")))
    plain = onsa.tune(**recipe(method=method, eval_rows=2, **more, output=str(tmp_path / "plain")))
    break_off_at(monkeypatch, 4)
    stormy = recipe(**keys, output=str(tmp_path / "stormy"), save_steps=2)
    with pytest.raises(KeyboardInterrupt):
        onsa.tune(**stormy)
    run = onsa.tune(**stormy)

    def content(of: Run) -> list[bytes]:
        return [path.read_bytes() for path in sorted((of / "model").glob("*.safetensors"))]

    assert content(run) == content(calm) != content(plain)
    config = read_json(
        run / "model" / ("config.json" if method == "full" else "adapter_config.json")
    )
    assert 0.2 not in config.values()


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"packing": 3}, "packing"),
        ({"neftune_noise_alpha": 0}, "neftune_noise_alpha: should be greater than 0"),
        ({"dropout": 1}, "dropout: should be less than 1"),
        ({"label_smoothing_factor": -0.1}, "label_smoothing_factor: should be greater"),
        ({"truncation": "middle"}, "truncation: should be 'right' or 'left'"),
        (
            {"early_stopping_patience": 2},
            "early_stopping_patience has no effect without eval_steps",
        ),
        ({"metric_for_best_model": "echo"}, "has no effect without eval_steps"),
        ({"eval_steps": 1.5}, "eval_steps: must be a whole number of steps, or a share"),
        (
            {"eval_steps": 1, "metric_for_best_model": "ecko"},
            "metric_for_best_model 'ecko' is no task of the recipe; did you mean 'echo'",
        ),
        (
            {"eval_steps": 1, "early_stopping_threshold": 0.1},
            "early_stopping_threshold has no effect without early_stopping_patience",
        ),
        (
            {"method": "cpi_ft", "eval_steps": 2},
            "'eval_steps' has no effect with method 'cpi_ft'; remove it, or choose a method that "
            "trains all tasks at once",
        ),
        ({"method": "prefix", "packing": True}, "packing: virtual tokens stand before a sequence"),
    ],
)
def test_pain_P12_a_key_without_effect_is_refused(
    recipe: Keys, keys: dict[str, Any], line: str
) -> None:
    """One line that names the key. Red where a key is taken and nothing is done with it."""
    with pytest.raises(InputError) as caught:
        onsa.tune(**recipe(**{"method": "full", **keys}))
    assert line in str(caught.value)
