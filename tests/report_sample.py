"""A realistic report made by code: four tasks, one of them scored by loss, one in Japanese."""

from __future__ import annotations

import hashlib
import math
import random
from typing import Any

TASKS = ("sums", "family", "要約", "dialogue")
LOWER_IS_BETTER = ("dialogue",)
BLOCKS = 30
EVALUATED = 400

FINAL = {
    "base": (0.082, 0.013, 0.241, 2.412),
    "full": (0.421, 0.452, 0.402, 1.998),
    "sequence": (0.231, 0.468, 0.395, 1.951),
    "cpi_ft": (0.447, 0.534, 0.398, 1.902),
    "specialists": (0.462, 0.551, 0.431, 1.889),
}
ROLES = {"base": "base", "cpi_ft": "result", "specialists": "reference"}
STAGES = {
    "base": FINAL["base"],
    "probe sums": (0.462, 0.021, 0.231, 2.551),
    "probe family": (0.061, 0.551, 0.222, 2.498),
    "probe 要約": (0.079, 0.018, 0.431, 2.377),
    "probe dialogue": (0.075, 0.025, 0.262, 1.889),
    "fused": (0.287, 0.301, 0.349, 2.102),
    "integrate 1: sums": (0.471, 0.283, 0.332, 2.143),
    "integrate 2: family, 要約": (0.455, 0.541, 0.411, 2.119),
    "integrate 3: dialogue": FINAL["cpi_ft"],
}
SEQUENCE = {
    "base": FINAL["base"],
    "sums": (0.462, 0.021, 0.231, 2.551),
    "family": (0.347, 0.556, 0.262, 2.442),
    "要約": (0.288, 0.489, 0.437, 2.301),
    "dialogue": FINAL["sequence"],
}


def sample() -> dict[str, Any]:
    """The full report, the same on every call."""
    chance = random.Random(7)
    return {
        **heading(),
        "tasks": [task(name) for name in TASKS],
        "results": [result(label) for label in FINAL],
        "normalised": normalised(),
        "flips": [flip(before, name) for before in ("base", "full") for name in TASKS[:3]],
        "paths": [path("cpi_ft", STAGES), path("sequence", SEQUENCE)],
        "retention": {"cpi_ft": retention(STAGES), "sequence": retention(SEQUENCE)},
        "untrained": untrained(),
        **relations(),
        "angles": {"fangle": angles()},
        "cores": {name: core(name, chance) for name in TASKS},
        "curves": curves(chance),
        "best_states": best_states(),
        "fusion": fusion(chance),
        "held": held(),
        "additions": [addition()],
        "notes": [
            "`warmup_ratio` has no effect with this method's constant schedule and was left out.",
            "3 rows of 要約 were longer than 512 tokens and were cut (rows 17, 201, 388).",
            "The tied embedding counts once; 21 % of the core of sums lies in it.",
        ],
        "steps": steps(),
    }


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def heading() -> dict[str, Any]:
    return {
        "title": "Four tasks on SmolLM2-135M",
        "created": "2026-01-15T14:03:22+00:00",
        "onsa_version": "0.1.0",
        "command": "onsa tune four.yaml --method cpi_ft --out runs/four",
        "method": {
            "name": "cpi_ft",
            "summary": "Probe each task, find its core, group, fuse, train on with cores held.",
            "paper": "arXiv:2508.21741",
            "settings": {"core_share": 0.01, "overlap": 0.1, "order": "random", "blend": "slerp"},
        },
        "model": {
            "name": "HuggingFaceTB/SmolLM2-135M-Instruct",
            "parameters": 134_515_008,
            "digest": digest("model"),
            "architecture": "LlamaForCausalLM",
        },
        "recipe": "model: HuggingFaceTB/SmolLM2-135M-Instruct\nmethod: cpi_ft\nseed: 17\n"
        "tasks:\n  - name: sums\n    data: sums.jsonl\n  - name: 要約\n    data: 要約.jsonl\n",
        "seed": 17,
        "versions": {"python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0"},
        "machine": {
            "cpu": "Xeon",
            "cores": 2,
            "memory_bytes": 16 * 2**30,
            "accelerator": None,
        },
    }


def task(name: str) -> dict[str, Any]:
    is_loss = name in LOWER_IS_BETTER
    text = {"prompt": "What is 17 + 25?", "reply": "42"}
    if name == "要約":
        text = {
            "prompt": "次の文章を一文で要約してください。音叉は…",
            "reply": "音叉は一つの音だけを出す。",
        }
    return {
        "name": name,
        "kind": "generate",
        "metric": "loss" if is_loss else "exact match",
        "how": "BLEU: nrefs:1|case:mixed|eff:no|tok:ja-mecab|smooth:exp" if name == "要約" else "",
        "agreement": agreement() if name == "要約" else None,
        "higher_is_better": not is_loss,
        "train_rows": 384,
        "eval_rows": EVALUATED,
        "digest": digest(name),
        "source": f"{name}.jsonl",
        "sample": text,
    }


def scored(values: tuple[float, ...]) -> dict[str, Any]:
    return {name: score(name, value) for name, value in zip(TASKS, values, strict=True)}


def score(name: str, mean: float) -> dict[str, Any]:
    """The mean with a normal 95 % interval over the evaluation examples."""
    is_loss = name in LOWER_IS_BETTER
    half = 0.06 if is_loss else 1.96 * math.sqrt(mean * (1 - mean) / EVALUATED)
    low = mean - half if is_loss else max(0.0, mean - half)
    loss = mean if is_loss else 3.0 - 4.0 * mean
    return {"mean": mean, "low": low, "high": mean + half, "n": EVALUATED, "loss": loss}


def result(label: str) -> dict[str, Any]:
    tokens = {"base": 0, "full": 812_000, "sequence": 812_000}.get(label, 1_137_000)
    return {
        "label": label,
        "role": ROLES.get(label, "baseline"),
        "scores": scored(FINAL[label]),
        "average": None,
        "measures": measures(label),
        "classes": classes(label),
        "trained_tokens": tokens,
        "processed_tokens": 4 * tokens,
        "seconds": tokens / 240,
        "training_flops": 6 * 134_515_008 * 4 * tokens,
        "trained_entries": 134_515_008 if tokens else 0,
        "energy_kwh": tokens * 2e-8 if tokens else None,
        "peak_memory_bytes": 3 * 2**30 if tokens else None,
        "optimizer_bytes": 8 * 134_515_008 if tokens else 0,
        "stored_bytes": 4 * 134_515_008,
    }


def figure(mean: float | None, half: float | None = 0.03, why: str = "") -> dict[str, Any]:
    bounds = (None, None) if mean is None or half is None else (mean - half, mean + half)
    found = {"mean": mean, "low": bounds[0], "high": bounds[1], "n": EVALUATED}
    return {**found, "why": why} if mean is None else found


def measures(label: str) -> dict[str, Any]:
    share, loss = FINAL[label][1], FINAL[label][3]
    constant = "all replied numbers are alike" if label == "base" else ""
    return {
        "family": {
            "accuracy": figure(share),
            "precision macro": figure(0.9 * share),
            "recall macro": figure(0.95 * share),
            "F1 macro": figure(0.92 * share),
        },
        "要約": {
            "BLEU": figure(100 * FINAL[label][2], 3.1),
            "Pearson": figure(None if constant else 0.61, why=constant),
        },
        "dialogue": {"perplexity": figure(math.exp(loss), 0.4)},
    }


def agreement() -> dict[str, Any]:
    kappa = {"mean": 0.61, "low": 0.4, "high": 0.76, "n": 40}
    return {"n": 40, "share": {"mean": 0.7, "low": 0.55, "high": 0.82, "n": 40}, "kappa": kappa}


RELATIONS = ("uncle", "grandmother", "sister-in-law of the father", "姉", "cousin")


def classes(label: str) -> dict[str, Any]:
    right = 8 + round(60 * FINAL[label][1])
    counts = [
        [right if row == at else (3 * row + 5 * at) % 7 for at in range(5)] for row in range(5)
    ]
    others = [80 - sum(row) for row in counts]
    table = [
        {
            "label": name,
            "precision": 0.1 * at if at else None,
            "recall": counts[at][at] / 80,
            "f1": 0.4,
            "support": 80,
            "named": sum(row[at] for row in counts),
        }
        for at, name in enumerate(RELATIONS)
    ]
    found = {"classes": 9, "labels": list(RELATIONS), "counts": counts, "others": others}
    return {"family": {**found, "table": table}}


def normalised() -> dict[str, Any]:
    scale = {
        name: {
            "worst": (max if name in LOWER_IS_BETTER else min)(FINAL[x][place] for x in FINAL),
            "best": (min if name in LOWER_IS_BETTER else max)(FINAL[x][place] for x in FINAL),
        }
        for place, name in enumerate(TASKS)
    }
    scores = {
        label: figure(
            sum(
                10
                * (values[place] - scale[name]["worst"])
                / (scale[name]["best"] - scale[name]["worst"])
                for place, name in enumerate(TASKS)
            )
            / len(TASKS),
            0.3,
        )
        for label, values in FINAL.items()
    }
    return {"scale": scale, "left_out": ["even"], "scores": scores}


def untrained() -> dict[str, Any]:
    """A task that only the base knew, and that is forgotten a little."""
    means = {"base": 0.62, "full": 0.41, "cpi_ft": 0.55}
    return {
        "tasks": [task("general")],
        "results": [
            {
                "label": label,
                "role": ROLES.get(label, "baseline"),
                "scores": {"general": score("general", mean)},
            }
            for label, mean in means.items()
        ],
        "flips": [],
    }


def angles() -> dict[str, Any]:
    layers = [
        {"block": str(block), "role": role, "angle": 1e-3 * (1 + abs(block - middle))}
        for role, middle in (("attention", 3), ("mlp", 9))
        for block in range(12)
    ]
    return {"layers": layers, "chosen": [["0", "attention"], ["11", "attention"], ["0", "mlp"]]}


def flip(before: str, name: str) -> dict[str, Any]:
    """Counts that agree with the means, and a few of the examples."""
    place = TASKS.index(name)
    old, new = FINAL[before][place], FINAL["cpi_ft"][place]
    net = round((new - old) * EVALUATED)
    lost = 3 if before == "base" else 31
    gained = lost + net
    both_right = round(old * EVALUATED) - lost
    return {
        "from": before,
        "to": "cpi_ft",
        "task": name,
        "gained": gained,
        "lost": lost,
        "both_right": both_right,
        "both_wrong": EVALUATED - both_right - gained - lost,
        "p_value": math.erfc(abs(net) / math.sqrt(2 * (gained + lost))),
        "examples": [example(name, number) for number in range(4)],
    }


def example(name: str, number: int) -> dict[str, Any]:
    is_gained = number % 3 != 2
    prompt, right, wrong = f"What is {number + 17} + 25?", str(number + 42), "I think it is 40."
    if name == "要約":
        prompt = (
            "次の文章を一文で要約してください。\n音叉は、たたくと一定の高さの音を出す道具である。"
        )
        right, wrong = "音叉は一定の高さの音を出す道具だ。", "音楽は楽しい。"
    if name == "family":
        prompt = "Ada is the mother of Ben. Ben is the father of Cleo. What is Ada to Cleo?"
        right, wrong = "grandmother", "sister"
    return {
        "source": f"{name}.jsonl:{number + 301}",
        "prompt": prompt,
        "reference": right,
        "before": wrong if is_gained else right,
        "after": right if is_gained else wrong,
        "change": "gained" if is_gained else "lost",
    }


def path(label: str, stages: dict[str, tuple[float, ...]]) -> dict[str, Any]:
    listed = [{"label": name, "scores": scored(values)} for name, values in stages.items()]
    return {"label": label, "stages": listed}


def retention(stages: dict[str, tuple[float, ...]]) -> dict[str, Any]:
    kept = {}
    for place, name in enumerate(TASKS):
        values = {stage: scores[place] for stage, scores in stages.items()}
        best = min if name in LOWER_IS_BETTER else max
        stage = best(values, key=lambda stage: values[stage])
        first, final = values["base"], list(values.values())[-1]
        share = (final - first) / (values[stage] - first)
        kept[name] = {
            "best": values[stage],
            "best_stage": stage,
            "final": final,
            "retention": share,
        }
    return kept


def relations() -> dict[str, Any]:
    overlap = [
        [1.0, 0.021, 0.012, 0.010],
        [0.021, 1.0, 0.112, 0.014],
        [0.012, 0.112, 1.0, 0.033],
        [0.010, 0.014, 0.033, 1.0],
    ]
    transfer = [
        [1.0, 0.31, 0.02, -0.27],
        [-0.42, 1.0, -0.11, -0.16],
        [0.05, 0.11, 1.0, 0.07],
        [0.03, 0.21, 0.12, 1.0],
    ]
    base = [3.5, 6.9, 2.8, 2.412]
    own = [1.1, 0.6, 1.7, 1.889]
    loss = [[base[j] - transfer[i][j] * (base[j] - own[j]) for j in range(4)] for i in range(4)]
    names = list(TASKS)
    groups = [["sums"], ["family", "要約"], ["dialogue"]]
    return {
        "overlap": {"tasks": names, "jaccard": overlap, "chance": 0.005, "threshold": 0.1},
        "transfer": {"tasks": names, "matrix": transfer, "loss": loss, "base_loss": base},
        "prompts": {"prompt_only": {"sums": [{"role": "user", "content": "<b>2 + 2</b>?"}]}},
        "groups": groups,
        "order": {"rule": "random", "sequence": groups, "why": "drawn with seed 17"},
    }


def core(name: str, chance: random.Random) -> dict[str, Any]:
    """Every core leans to its own depth, and the embedding weighs heavily."""
    centre = 6 + 6 * TASKS.index(name)
    cells = [{"block": "embeddings", "role": "embedding", "entries": 301_000, "of": 28_311_552}]
    for block in range(BLOCKS):
        near = math.exp(-(((block - centre) / 6) ** 2))
        for role, room, pull in (("attention", 884_736, 1.4), ("mlp", 2_654_208, 0.9)):
            share = 0.001 + 0.018 * near * pull * chance.uniform(0.7, 1.3)
            entries = round(room * share)
            cells.append({"block": str(block), "role": role, "entries": entries, "of": room})
        few = chance.randint(0, 60)
        cells.append({"block": str(block), "role": "norm", "entries": few, "of": 1152})
    cells.append({"block": "norm", "role": "norm", "entries": 3, "of": 576})
    return {"entries": 1_345_150, "share": 0.01, "cells": cells}


def curve(name: str, start: float, end: float, chance: random.Random) -> list[list[float]]:
    steps = [4_000 * step for step in range(25)]
    return [
        [tokens, end + (start - end) * math.exp(-tokens / 22_000) + chance.gauss(0, 0.02)]
        for tokens in steps
    ]


def curves(chance: random.Random) -> list[dict[str, Any]]:
    ends = {"sums": (3.5, 1.1), "family": (6.9, 0.6), "要約": (2.8, 1.7), "dialogue": (2.4, 1.9)}
    made = [
        {"label": f"probe {name}", "points": {name: curve(name, *ends[name], chance)}}
        for name in TASKS
    ]
    points = {name: curve(name, *ends[name], chance) for name in ("family", "要約")}
    points["sums"] = [[4_000 * step, 1.1 + 0.006 * step] for step in range(25)]
    return [*made, {"label": "integrate 2: family, 要約", "points": points}]


def best_states() -> list[dict[str, Any]]:
    points = [
        {
            "step": 20 * number,
            "trained_tokens": 1000 * number,
            "scores": {name: 0.1 * number if name != "dialogue" else 2 / number for name in TASKS},
        }
        for number in range(1, 5)
    ]
    ends = {"best_step": 60, "last_step": 80, "planned_steps": 200, "metric": "worst_task"}
    return [{"label": "full", "points": points, **ends}]


def fusion(chance: random.Random) -> dict[str, Any]:
    tensors = []
    for block in range(BLOCKS):
        for part in ("self_attn.q_proj", "mlp.up_proj", "input_layernorm"):
            angle = chance.uniform(0.001, 0.02)
            tensors.append(
                {
                    "name": f"model.layers.{block}.{part}.weight",
                    "branch": "slerp" if angle > 0.01 else "linear",
                    "angle": angle,
                    "transplanted": chance.randint(1000, 9000),
                    "conflicts": chance.randint(0, 50),
                }
            )
    return {
        "branches": {"slerp": 121, "linear": 150, "copied": 1},
        "epsilon": 0.01,
        "angles": {"max": 0.0213, "median": 0.0082},
        "transplanted": 5_214_331,
        "conflicts": 166_269,
        "tensors": tensors,
    }


def held() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, entries in ((1, 0), (2, 1_345_150), (3, 3_902_771)):
        rows.append(
            {
                "stage": f"integrate {number}",
                "entries": entries,
                "tensors": 272 if entries else 0,
                "changed": 0,
                "digest_before": digest(str(entries)) if entries else "",
                "digest_after": digest(str(entries)) if entries else "",
                "rule": "cores of earlier groups",
            }
        )
    return rows


def addition() -> dict[str, Any]:
    values = {
        "before": FINAL["cpi_ft"],
        "held": (0.439, 0.522, 0.401, 1.733),
        "plain sequence": (0.305, 0.441, 0.377, 1.702),
    }
    results = [{"label": label, "scores": scored(means)} for label, means in values.items()]
    return {
        "task": ["dialogue"],
        "held_entries": 5_247_921,
        "replay_share": 0.02,
        "results": results,
    }


def steps() -> list[dict[str, Any]]:
    names = [f"probe/{name}" for name in TASKS] + [f"core/{name}" for name in TASKS]
    names += ["groups", "fuse", "integrate/1", "integrate/2", "integrate/3"]
    return [
        {"name": name, "digest": digest(name), "seconds": 3.7 * place, "reused": place < 4}
        for place, name in enumerate(names)
    ]
