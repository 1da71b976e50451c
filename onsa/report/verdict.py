"""The verdict in plain words, computed from the numbers and claiming no more than they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onsa.report.comparison import PHRASES, Comparison, by_intervals, compare_all
from onsa.report.scores import (
    Facts,
    Metric,
    baselines_of,
    is_branch,
    metrics_of,
    score_in,
    tuned_result,
)
from onsa.report.words import (
    capital,
    listed,
    memory,
    name_of,
    number,
    plural,
    scaled,
    short_name_of,
)

SAME_COST = 0.05  # token counts within 5 % of each other are called the same


@dataclass(frozen=True)
class Verdict:
    """What the first screen says: one headline, a few sentences, and what must not be missed."""

    headline: str
    sentences: tuple[str, ...]
    alarms: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def describe(comparison: Comparison) -> str:
    """`clearly better on a (+8.2 points); no clear difference on b and c`."""
    total = len(comparison.differences)
    parts = []
    for judgement, phrase in PHRASES.items():
        found = [each for each in comparison.differences if each.judgement == judgement]
        if judgement in ("better", "worse"):
            names = listed(each.told for each in found)
        elif len(found) == total > 1:
            names = f"any of {total} tasks"
        else:
            names = listed(each.task for each in found)
        if found:
            parts.append(f"{phrase} on {names}")
    return "; ".join(parts)


def against_base(comparison: Comparison) -> str:
    """How many tasks gained: the headline's first half."""
    total, name = len(comparison.differences), name_of(comparison.label)
    better, worse = comparison.count("better"), comparison.count("worse")
    if comparison.count("unknown") == total:
        return f"no intervals, so gains over {name} cannot be judged"
    if total == 1:
        task = comparison.differences[0].task
        verb = (
            "gained over" if better else "lost against" if worse else "shows no clear change from"
        )
        return f"the task {task} {verb} {name}"
    if better == total:
        return f"{'both' if total == 2 else f'all {total}'} tasks gained over {name}"
    if better and worse:
        return f"{better} of {total} tasks gained over {name}, {worse} lost"
    if better:
        return f"{better} of {total} tasks gained over {name}, no clear change on the rest"
    if worse:
        return f"{worse} of {total} tasks lost against {name}, none clearly gained"
    return f"no clear change from {name} on any of the {total} tasks"


def against_baseline(comparison: Comparison) -> str:
    """Better, worse or neither: the headline's second half."""
    total, name = len(comparison.differences), name_of(comparison.label)
    better, worse = comparison.count("better"), comparison.count("worse")
    if comparison.count("unknown") == total:
        return f"not judged against {name}"
    if better and worse:
        return f"against {name} a trade: {better} better, {worse} worse"
    if not better and not worse:
        return f"no clear difference to {name}"
    amount, word = (better, "better") if better else (worse, "worse")
    where = "every task" if amount == total else f"{amount} of {total}"
    return f"clearly {word} than {name} on {where}"


def headline(comparisons: Sequence[Comparison], base_label: object) -> str:
    halves = []
    for comparison in comparisons[:2]:
        is_base = comparison.label == base_label
        halves.append(against_base(comparison) if is_base else against_baseline(comparison))
    # Base first, then plain mixing; a second baseline belongs in the sentences.
    if len(comparisons) > 1 and comparisons[0].label != base_label:
        halves = halves[:1]
    return capital("; ".join(halves)) + "."


def base_label_of(results: list[Facts]) -> object:
    return next((found.get("label") for found in results if found.get("role") == "base"), None)


def verdict(facts: Facts) -> Verdict:
    results, flips = list(facts.get("results") or []), list(facts.get("flips") or [])
    metrics = metrics_of(facts)
    comparisons = compare_all(results, metrics, flips)
    tuned = tuned_result(results)
    said = [f"Against {name_of(each.label)}: {describe(each)}." for each in comparisons]
    if tuned is not None:
        said += forgetting(facts, str(tuned.get("label")), metrics) + cost(results)
        said += storage(tuned, facts.get("model") or {}) + not_trained(facts)
    # Of each addition the first sentence, against the model before; its section has them all.
    told = [addition(each, metrics)[:1] for each in facts.get("additions") or []]
    added = [sentence for sentences in told for sentence in sentences]
    if comparisons:
        line = headline(comparisons, base_label_of(results))
    else:
        line = added[0] if added else nothing_to_compare(tuned)
    return Verdict(line, tuple(said + added), tuple(alarms(facts)), comparisons)


def nothing_to_compare(tuned: Facts | None) -> str:
    if tuned is None or not tuned.get("scores"):
        return "No tuned model was scored, so nothing can be said about gain or loss."
    name = capital(short_name_of(tuned.get("label")))
    return f"{name} was scored, but there is nothing to compare it with."


def forgetting(facts: Facts, label: str, metrics: dict[str, Metric]) -> list[str]:
    """Whether a task ends clearly below the best stage on its way: the seesaw in words."""
    paths: list[Facts] = facts.get("paths") or []
    path = next((path for path in paths if path.get("label") == label), Facts())
    way = [stage for stage in path.get("stages") or [] if not is_branch(stage)]
    lost, judged = [], 0
    for task, metric in metrics.items():
        scored = [(str(stage.get("label")), score_in(stage, task)) for stage in way]
        found = [(name, score) for name, score in scored if score is not None]
        if len(found) < 3:  # base and one stage: nothing could be lost on the way
            continue
        name, best = max(found, key=lambda pair: metric.gain(0, pair[1].mean))
        final = found[-1][1]
        judgement = by_intervals(best, final, metric)
        judged += judgement != "unknown"
        if judgement == "worse":
            fall = f"{metric.text(best.mean)} after «{name}», {metric.text(final.mean)} at the end"
            lost.append(f"{task} ({fall})")
    if lost:
        return [f"Clearly lost on the way: {listed(lost)}."]
    return ["No task ends clearly below the best stage on its way."] if judged else []


def not_trained(facts: Facts) -> list[str]:
    """What the model could do before and nobody trained, against the base."""
    section = facts.get("untrained") or {}
    results, flips = list(section.get("results") or []), list(section.get("flips") or [])
    metrics = metrics_of({"tasks": section.get("tasks"), "results": results})
    compared = compare_all(results, metrics, flips)
    found = next((each for each in compared if each.label == base_label_of(results)), None)
    return [f"Not trained, against {name_of(found.label)}: {describe(found)}."] if found else []


def cost(results: list[Facts]) -> list[str]:
    """Whether the comparison with the first baseline is one at equal cost."""
    tuned = tuned_result(results)
    baselines = [each for each in baselines_of(results) if each.get("trained_tokens") != 0]
    if tuned is None or not baselines:  # one that is only asked otherwise has no cost to be equal
        return []
    ours, theirs = (number(each.get("trained_tokens")) for each in (tuned, baselines[0]))
    name, other = (short_name_of(each.get("label")) for each in (tuned, baselines[0]))
    both = capital(f"{name} and {other}")
    if not ours or not theirs:
        return [f"{both}: trained tokens not known, so not a comparison at equal cost."]
    if abs(ours / theirs - 1) <= SAME_COST:
        return [f"{both} trained on the same number of tokens ({scaled(ours)})."]
    amounts = f"{scaled(ours)} to {scaled(theirs)}"
    ratio = f"{ours / theirs:.2f} × the tokens of {other}"
    return [f"Not at equal cost: {name} trained on {ratio} ({amounts})."]


def storage(tuned: Facts, model: Facts) -> list[str]:
    """That an adapter is no copy of the base, where one was trained."""
    ours, parameters = number(tuned.get("stored_bytes")), number(model.get("parameters"))
    if not ours or not parameters or ours >= parameters:  # less than a byte for each parameter
        return []
    name = capital(short_name_of(tuned.get("label")))
    return [f"{name} weighs {memory(ours)} on disk: what was added, without a copy of the base."]


def addition_results(entry: Facts) -> list[Facts]:
    """The results of an addition with their roles, which its labels imply where not told."""
    implied = {"before": "base", "held": "result"}
    return [
        {**result, "role": result.get("role") or implied.get(str(result.get("label")), "baseline")}
        for result in entry.get("results") or []
    ]


def addition(entry: Facts, metrics: dict[str, Metric]) -> list[str]:
    """What adding tasks gave, and what it took from the earlier ones."""
    new = [str(name) for name in entry.get("task") or []]
    if isinstance(entry.get("task"), str):
        new = [entry["task"]]
    sentences = []
    for found in compare_all(addition_results(entry), metrics, list(entry.get("flips") or [])):
        earlier = [each.task for each in found.differences if each.task not in new]
        said = [describe(found.only(new)) or "the new tasks were not scored"]
        if earlier:
            said.append(f"on the earlier tasks, {describe(found.only(earlier))}")
        sentences.append(
            f"Adding {listed(new)}, against {name_of(found.label)}: {'; '.join(said)}."
        )
    return sentences


def alarms(facts: Facts) -> list[str]:
    """Promises of the run that its own record shows broken, and judges that nobody judged."""
    said = []
    for task in facts.get("tasks") or []:
        if (found := task.get("agreement")) and not number(found.get("n")):
            said.append(
                f"The judge of «{task.get('name')}» was not checked against people: what it says "
                "is no evidence yet."
            )
    for held in facts.get("held") or []:
        changed = int(number(held.get("changed")) or 0)
        before, after = held.get("digest_before"), held.get("digest_after")
        if changed:
            said.append(
                f"{plural(changed, 'held entry', 'held entries')} changed in «{held.get('stage')}»."
            )
        elif before and after and before != after:
            said.append(f"The digest of the held entries changed in «{held.get('stage')}».")
    return said
