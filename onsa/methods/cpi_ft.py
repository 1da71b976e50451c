"""Core parameter isolation fine-tuning.

Wang, Liang, Peng 2025, Not All Parameters Are Created Equal: Smart Isolation Boosts Fine-Tuning
Performance, EMNLP 2025, arXiv:2508.21741. What the paper leaves open is a setting here, its default
said in docs/methods/cpi_ft.md.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from onsa.cores import blends, fusion, grouping, hold, order, saliency
from onsa.cores.steps import find_core, find_overlap, fuse_models, fusion_facts, where_it_lies
from onsa.data.budget import divide_tokens
from onsa.data.split import sample_rows, split_rows
from onsa.errors import InputError
from onsa.evaluation.scoring import held_out_loss, scoring_settings
from onsa.masks import ParameterMask
from onsa.methods import method
from onsa.recipe.training import BEST_STATE_KEYS
from onsa.run import Run
from onsa.settings import Budgeted, Share, TaskGroups, known_in, require_each_task
from onsa.training.train import run_training
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.tasks import Task

Groups = list[list[str]]
Cores = dict[str, ParameterMask]


SaliencyRule = Annotated[str, known_in(saliency.saliency)]
GroupingRule = Annotated[str, known_in(grouping.grouping)]
OrderRule = Annotated[str, known_in(order.order)]
FusionRule = Annotated[str, known_in(blends.blends)]
ConflictRule = Annotated[str, known_in(fusion.conflicts)]
HoldRule = Annotated[str, known_in(hold.hold)]

# A key and what must be chosen for it to have an effect.
ONLY_WITH = {
    "epsilon": ("fusion", "slerp"),
    "update_scale": ("fusion", "update_sum"),
    "replay": ("integrate_on", "group"),
}
NEED_HELD_OUT = ("loss_transfer", "difficulty", "dependency", "held_out")
SCALES_TRIED = (0.25, 0.5, 0.75, 1.0)  # of the update sum, where held-out loss chooses


class CpiFt(Budgeted):
    no_effect: ClassVar[frozenset[str]] = BEST_STATE_KEYS

    core_share: Share = Field(0.01, description="p: share of all entries that is a task's core")
    saliency: SaliencyRule = Field("update", description="what makes an entry part of the core")
    probe_share: float = Field(0.25, gt=0, le=1, description="share of a task's rows to probe on")
    overlap: float | str = Field(
        0.1,
        union_mode="left_to_right",
        description="tau: Jaccard from which tasks share a group, or '3x chance'",
    )
    grouping: GroupingRule = Field("jaccard", description="what links two tasks into a group")
    groups: TaskGroups | None = Field(None, description="the groups by hand, for grouping 'given'")
    order: OrderRule | list[str] = Field(
        "random", description="of the groups: a rule, or all tasks by name"
    )
    fusion: FusionRule = Field("slerp", description="how what is no core becomes one model")
    conflict: ConflictRule = Field(
        "larger_update", description="whose value an entry in two cores takes"
    )
    epsilon: float = Field(
        1e-4, gt=0, lt=math.pi / 2, description="radians below which SLERP is a straight line"
    )
    update_scale: Annotated[float, Field(gt=0)] | Literal["held_out"] = Field(
        0.5, description="lambda of the fusion 'update_sum', or the best of some by held-out loss"
    )
    hold: HoldRule = Field("earlier", description="what is still while a group trains")
    integrate_on: Literal["mixed", "seen", "group"] = Field(
        "mixed", description="a stage's rows: of all tasks, of those so far, of its own group"
    )
    integrate_share: float = Field(
        1.0, gt=0, le=1, description="rows of the integration, by the tasks' training rows"
    )
    integrate_schedule: Literal["whole", "each"] = Field(
        "whole", description="one learning-rate schedule over all stages, or one for each"
    )
    integrate_learning_rate: float | None = Field(None, gt=0)
    replay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of earlier groups' rows mixed in, for integrate_on 'group'",
    )
    validation_rows: int = Field(16, ge=0, description="training rows kept out to measure transfer")

    @field_validator("order")
    @classmethod
    def _every_task_in_order(cls, given: str | list[str], info: ValidationInfo) -> str | list[str]:
        if given == "given":
            raise InputError("'given' is no order by itself", way_out="list all tasks: [a, b]")
        if isinstance(given, list):
            require_each_task(given, info)
        return given

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> CpiFt:
        grouping.threshold_value(self.overlap, self.core_share)  # refuses what is no threshold
        for key, (decider, needed) in ONLY_WITH.items():
            chosen = getattr(self, decider)
            if self.differs(key) and chosen != needed:
                raise InputError(
                    f"{key} has no effect with {decider} {chosen!r}",
                    way_out=f"take it out, or write '{decider}: {needed}'",
                )
        return self

    @model_validator(mode="after")
    def _the_rules_have_what_they_need(self) -> CpiFt:
        if self.groups is None and self.grouping == "given":
            raise InputError("grouping 'given' needs groups", way_out="write 'groups: [[a], [b]]'")
        for key in ("grouping", "overlap") if self.groups is not None else ():
            if self.differs(key) and getattr(self, key) != "given":
                raise InputError(f"{key} has no effect with groups", way_out="keep one of them")
        if self.needs_held_out and not self.validation_rows:
            raise InputError(
                f"{self.needs_held_out!r} needs validation_rows",
                way_out="leave them at 16, or choose another",
            )
        return self

    @property
    def needs_held_out(self) -> str:
        """The first chosen rule that goes by held-out losses, if any does."""
        chosen = (self.grouping, self.order, self.update_scale)
        return next((str(rule) for rule in chosen if rule in NEED_HELD_OUT), "")

    @property
    def probe_tokens(self) -> int | None:
        """The probes' part of `trained_tokens`."""
        if self.trained_tokens is None:
            return None
        part = self.probe_share / (self.probe_share + self.integrate_share)
        return round(self.trained_tokens * part)

    def stage_tokens(self, stages: int) -> int | None:
        """What is left of `trained_tokens` for each stage of the integration."""
        if self.trained_tokens is None or self.probe_tokens is None:
            return None
        return max(1, round((self.trained_tokens - self.probe_tokens) / stages))


def epochs(settings: CpiFt, num_train_epochs: float) -> float:
    """Passes over the data, probes and integration together."""
    return num_train_epochs * (settings.probe_share + settings.integrate_share)


@method("cpi_ft", settings=CpiFt, paper="arXiv:2508.21741", epochs=epochs)
def cpi_ft(run: Run, settings: CpiFt) -> Weights:
    """Probe each task, find its core, group, fuse, train on with earlier cores held."""
    tasks, validation = _keep_out(run, settings)
    budgets = divide_tokens(settings.probe_tokens, tasks, run.encoder)
    probes = {task.name: _probe(run, settings, task, budgets[task.name]) for task in tasks}
    cores = {name: _core(run, settings, name, probe) for name, probe in probes.items()}
    groups = _groups(run, settings, cores, _losses(run, probes, validation))
    weights = _fuse(run, settings, probes, cores, validation)
    for number in range(len(groups)):
        weights = _integrate(run, settings, weights, tasks, groups, number, cores)
    run.cores = cores
    return weights


def _keep_out(run: Run, settings: CpiFt) -> tuple[list[Task], list[Task]]:
    """The tasks without the rows that measure transfer, and those rows as tasks to score."""
    seed = run.recipe.seed
    pairs = [split_rows(task, settings.validation_rows, seed) for task in run.tasks]
    for task, (_, kept) in zip(run.tasks, pairs, strict=True):
        if kept is None and settings.needs_held_out:
            raise InputError(
                f"{len(task.train)} training rows are too few to keep any out, which "
                f"{settings.needs_held_out!r} needs",
                where=f"task {task.name}",
                way_out="bring at least 10, or choose another",
            )
    return [rest for rest, _ in pairs], [kept for _, kept in pairs if kept is not None]


def _probe(run: Run, settings: CpiFt, task: Task, tokens: int | None) -> dict[str, Any]:
    """A short full fine-tune on one task alone, from the base."""
    probe: dict[str, Any] = run_training(
        run,
        f"probe/{task.name}",
        start=run.base,
        tasks=[sample_rows(task, settings.probe_share, run.recipe.seed)],
        keep_second_moment=settings.saliency == "adam",
        token_budget=tokens,
    )
    run.stage(f"probe {task.name}", probe["weights"])
    return probe


def _core(run: Run, settings: CpiFt, name: str, probe: Mapping[str, Any]) -> ParameterMask:
    core = run.step(
        f"core/{name}",
        find_core,
        base=run.base,
        tuned=probe["weights"],
        share=settings.core_share,
        rule=settings.saliency,
        seed=f"{run.recipe.seed}/{name}",
        second_moment=probe.get("second_moment"),
    )
    run.find(cores={**run.findings.get("cores", {}), name: where_it_lies(core)})
    return core


def _losses(
    run: Run, probes: Mapping[str, Any], validation: list[Task]
) -> dict[str, dict[str, float]] | None:
    """Held-out loss of every task under the base (`""`) and under every probe."""
    if len(validation) < len(probes):
        run.warn("too few training rows to keep any out: loss transfer is not measured")
        return None
    models = {"": run.base, **{name: probe["weights"] for name, probe in probes.items()}}
    losses = {
        name: _held_out(run, f"transfer/{name or 'base'}", weights, validation)
        for name, weights in models.items()
    }
    names = list(probes)
    table = [[losses[i][j] for j in names] for i in names]
    base = [losses[""][name] for name in names]
    matrix = grouping.transfer_matrix(base, table)
    run.find(transfer={"tasks": names, "matrix": matrix, "loss": table, "base_loss": base})
    return losses


def _held_out(run: Run, name: str, weights: Weights, validation: list[Task]) -> dict[str, float]:
    return run.step(
        name,
        held_out_loss,
        weights=weights,
        tasks=validation,
        encoder=run.encoder,
        training=scoring_settings(run.recipe.training),
    )


def _groups(
    run: Run,
    settings: CpiFt,
    cores: Cores,
    losses: dict[str, dict[str, float]] | None,
) -> Groups:
    """The groups in the order of their training, and why."""
    names = list(cores)
    overlap = run.step("overlap", find_overlap, cores=cores)
    threshold = grouping.threshold_value(settings.overlap, settings.core_share)
    transfer = run.findings["transfer"]["matrix"] if losses else None
    rule = "given" if settings.groups else settings.grouping
    groups = grouping.group_tasks(
        grouping.Evidence(names, threshold, overlap, transfer, settings.groups), rule
    )
    given = None if isinstance(settings.order, str) else settings.order
    evidence = order.Evidence(
        names,
        run.recipe.seed,
        {name: losses[name][name] for name in names} if losses else None,
        overlap,
        transfer,
        given,
    )
    order_rule = "given" if given else str(settings.order)
    groups = order.order_groups(groups, evidence, order_rule)
    chance = grouping.chance_level(settings.core_share)
    run.find(
        overlap={"tasks": names, "jaccard": overlap, "chance": chance, "threshold": threshold},
        groups=groups,
        order={
            "rule": order_rule,
            "sequence": groups,
            "why": order.order.descriptions()[order_rule],
        },
    )
    if len(groups) == 1 and settings.hold == "earlier":
        run.warn("all tasks share one group: by the paper's rule nothing is held")
    return groups


def _fuse(
    run: Run,
    settings: CpiFt,
    probes: Mapping[str, Mapping[str, Any]],
    cores: Cores,
    validation: list[Task],
) -> Weights:
    """The probes as one model, cores transplanted, the rest blended."""
    options: dict[str, float] = {}
    if settings.fusion == "slerp":
        options = {"epsilon": settings.epsilon}
    elif settings.fusion == "update_sum":
        options = {"scale": _scale(run, settings, probes, cores, validation)}
    fused = _fused(run, "fuse", settings, probes, cores, options)
    run.find(fusion={"epsilon": settings.epsilon, **fusion_facts(fused["record"])})
    run.stage("fused", fused["weights"])
    weights: Weights = fused["weights"]
    return weights


def _fused(
    run: Run,
    name: str,
    settings: CpiFt,
    probes: Mapping[str, Mapping[str, Any]],
    cores: Cores,
    options: Mapping[str, float],
) -> dict[str, Any]:
    return run.step(
        name,
        fuse_models,
        base=run.base,
        tuned={task: probe["weights"] for task, probe in probes.items()},
        cores=cores,
        blend=settings.fusion,
        conflict=settings.conflict,
        settings=blends.seeded(settings.fusion, options, run.recipe.seed),
    )


def _scale(
    run: Run,
    settings: CpiFt,
    probes: Mapping[str, Mapping[str, Any]],
    cores: Cores,
    validation: list[Task],
) -> float:
    """The scale of the update sum: as given, or the one with the lowest mean held-out loss."""
    if settings.update_scale != "held_out":
        return float(settings.update_scale)
    losses = {}
    for scale in SCALES_TRIED:
        fused = _fused(run, f"fuse/{scale}", settings, probes, cores, {"scale": scale})
        found = _held_out(run, f"held_out/{scale}", fused["weights"], validation)
        losses[scale] = statistics.fmean(found.values())
    best = min(losses, key=lambda scale: losses[scale])
    told = ", ".join(f"{scale}: {loss:.3f}" for scale, loss in losses.items())
    run.warn(f"update_scale {best} has the lowest mean held-out loss ({told})")
    return best


def _integrate(
    run: Run,
    settings: CpiFt,
    start: Weights,
    tasks: list[Task],
    groups: Groups,
    number: int,
    cores: Cores,
) -> Weights:
    """Train one stage on, with the cores of earlier groups held."""
    seed = run.recipe.seed
    held = hold.held_entries(hold.Stage(number, groups, cores, seed + number), settings.hold)
    training = run.recipe.training
    if settings.integrate_learning_rate:
        training = training.model_copy(update={"learning_rate": settings.integrate_learning_rate})
    trained = run_training(
        run,
        f"integrate/{number + 1}",
        start=start,
        tasks=_stage_rows(settings, tasks, groups, number, seed),
        hold=held if held.count else None,
        training=training,
        part_of_schedule=_part(settings, number, len(groups)),
        token_budget=settings.stage_tokens(len(groups)),
    )
    weights: Weights = trained["weights"]
    run.stage(f"integrate {number + 1}: {' + '.join(groups[number])}", weights)
    return weights


def _part(settings: CpiFt, number: int, stages: int) -> tuple[float, float]:
    """The stretch of the learning-rate schedule that belongs to a stage."""
    if settings.integrate_schedule == "each":
        return 0.0, 1.0
    return number / stages, (number + 1) / stages


def _stage_rows(
    settings: CpiFt, tasks: list[Task], groups: Groups, number: int, seed: int
) -> list[Task]:
    """The balanced sample of a stage: over all stages, `integrate_share` of every task's rows."""
    by_name = {task.name: task for task in tasks}
    seen = [name for group in groups[: number + 1] for name in group]
    drawn = {"mixed": list(by_name), "seen": seen, "group": groups[number]}[settings.integrate_on]
    # A task that takes part in several stages gives each its part of the sample.
    rows = settings.integrate_share * len(tasks) / len(groups) / len(drawn)
    smallest = min(len(task.train) for task in tasks)
    taken = [
        sample_rows(by_name[name], rows * smallest / len(by_name[name].train), seed + number)
        for name in drawn
    ]
    earlier = [name for name in seen if name not in drawn]
    return taken + [
        sample_rows(by_name[name], settings.replay, seed + number)
        for name in earlier
        if settings.replay
    ]
