"""Figures over all rows against the libraries that define them, on random and on hostile input."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.example import Example
from onsa.figures.results import classes_of, measures_of, normalised
from onsa.metrics.classification import (
    classification_measures,
    confusion,
    multilabel_measures,
    per_class,
)
from onsa.metrics.intervals import (
    Measures,
    bootstrap_intervals,
    clustered_interval,
    group_numbers,
    mean_interval,
    resampled,
)
from onsa.metrics.paired import compare_paired
from onsa.metrics.regression import regression, regression_measures, undefined
from onsa.metrics.rouge import common_length, rouge_l, rouge_n
from onsa.metrics.text import same_text
from onsa.tasks import Task, find_kind
from onsa.tasks._words import chosen_words, script_of, words_of

LABELS = st.sampled_from(["a", "b", "c", "嬉しい", ""])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40)
SETS = st.lists(
    st.tuples(st.frozensets(LABELS, max_size=4), st.frozensets(LABELS, max_size=4)),
    min_size=1,
    max_size=20,
)
NUMBERS = st.lists(
    st.tuples(st.floats(-1e3, 1e3, width=16), st.floats(-1e3, 1e3, width=16)),
    min_size=2,
    max_size=40,
)


@pytest.fixture(scope="module")
def sklearn() -> Any:
    return pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")


# --- classification ------------------------------------------------------------------------------


@given(pairs=PAIRS)
def test_classification_is_scikit_learns(pairs: list[tuple[str, str]], sklearn: Any) -> None:
    truth, found = zip(*pairs, strict=True)
    ours = classification_measures(truth, found)
    assert ours["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, found))
    for average in ("macro", "micro"):
        theirs = sklearn.precision_recall_fscore_support(
            truth, found, average=average, zero_division=0
        )
        names = ("precision", "recall", "F1")
        assert [ours[f"{name} {average}"] for name in names] == pytest.approx(theirs[:3])


@given(pairs=PAIRS)
def test_replies_that_name_no_class(pairs: list[tuple[str, str]], sklearn: Any) -> None:
    truth, found = zip(*pairs, strict=True)
    classes = sorted(set(truth))  # what is only replied is no class
    ours = classification_measures(truth, found, classes)
    assert ours["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, found))
    for average in ("macro", "micro"):
        theirs = sklearn.precision_recall_fscore_support(
            truth, found, labels=classes, average=average, zero_division=0
        )
        names = ("precision", "recall", "F1")
        assert [ours[f"{name} {average}"] for name in names] == pytest.approx(theirs[:3])
    more = classification_measures(truth, found, [*classes, "never seen"])
    assert more == ours  # a class that is nowhere is no part of a mean


@given(pairs=PAIRS)
def test_classes_and_confusion_are_scikit_learns(
    pairs: list[tuple[str, str]], sklearn: Any
) -> None:
    truth, found = zip(*pairs, strict=True)
    rows = per_class(truth, found)
    labels = [row["label"] for row in rows]
    theirs = sklearn.precision_recall_fscore_support(
        truth, found, labels=labels, zero_division=np.nan
    )
    for name, values in zip(("precision", "recall", "f1"), theirs[:3], strict=True):
        ours = [math.nan if row[name] is None else row[name] for row in rows]
        assert ours == pytest.approx(list(values), nan_ok=True)
    assert [row["support"] for row in rows] == list(theirs[3])
    if len(labels) > 1:  # of one label scikit-learn warns
        table = confusion(truth, found, labels)
        assert (table == sklearn.confusion_matrix(truth, found, labels=labels)).all()
    if len(labels) > 2 and set(labels[1:]) & set(truth):
        part = sklearn.confusion_matrix(truth, found, labels=labels[1:])
        assert (confusion(truth, found, labels[1:]) == part).all()


@given(pairs=SETS)
def test_many_labels_are_scikit_learns(
    pairs: list[tuple[frozenset[str], frozenset[str]]], sklearn: Any
) -> None:
    truth, found = zip(*pairs, strict=True)
    classes = sorted(set().union(*truth, *found))
    if len(classes) < 2:  # scikit-learn reads one column as no table at all
        return
    tables = [[[label in row for label in classes] for row in rows] for rows in (truth, found)]
    one, other = (np.array(table, int) for table in tables)
    ours = multilabel_measures(truth, found)
    assert ours["exact match"] == pytest.approx(sklearn.accuracy_score(one, other))
    assert ours["Hamming loss"] == pytest.approx(sklearn.hamming_loss(one, other))
    for average in ("macro", "micro"):
        value = sklearn.f1_score(one, other, average=average, zero_division=0)
        assert ours[f"F1 {average}"] == pytest.approx(value)


def test_labels_by_hand() -> None:
    ours = classification_measures(list("aabb"), ["a", "b", "b", "no idea"], list("ab"))
    assert ours["accuracy"] == 0.5
    assert ours["precision macro"] == (1 + 0.5) / 2
    assert ours["precision micro"] == 2 / 3  # "no idea" is no named class
    assert ours["recall micro"] == 2 / 4
    (row,) = per_class(["a"], ["no"], ["a"])
    assert (row["precision"], row["recall"], row["f1"]) == (None, 0.0, 0.0)
    assert multilabel_measures([set()], [set()])["exact match"] == 1.0


# --- regression ----------------------------------------------------------------------------------


@given(pairs=NUMBERS)
def test_regression_is_scikit_learns_and_scipys(
    pairs: list[tuple[float, float]], sklearn: Any
) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    truth, found = zip(*pairs, strict=True)
    ours = regression_measures(truth, found)
    assert ours["MSE"] == pytest.approx(sklearn.mean_squared_error(truth, found))
    assert ours["MAE"] == pytest.approx(sklearn.mean_absolute_error(truth, found))
    if len(set(truth)) > 1:
        assert ours["R²"] == pytest.approx(sklearn.r2_score(truth, found), rel=1e-6)
    else:
        assert math.isnan(ours["R²"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of constant and of nearly constant input
        theirs = [stats.pearsonr(truth, found)[0], stats.spearmanr(truth, found)[0]]
    assert [ours["Pearson"], ours["Spearman"]] == pytest.approx(theirs, abs=1e-6, nan_ok=True)


def test_what_is_not_defined_is_said_and_no_zero() -> None:
    constant = regression_measures([1, 2, 3], [2, 2, 2])
    assert constant["R²"] == 0.0  # the mean itself: defined, and nothing explained
    assert math.isnan(constant["Pearson"])
    assert math.isnan(constant["Spearman"])
    assert undefined([1, 2, 3], [2, 2, 2]) == "all replied numbers are alike"
    assert all(math.isnan(regression_measures([1], [1])[n]) for n in ("R²", "Pearson", "Spearman"))
    assert undefined([1], [1]) == "all true and all replied numbers are alike"
    assert all(math.isnan(v) for v in regression_measures([1, 2], [1, math.nan]).values())
    assert undefined([1, 2], [1, math.nan]) == "1 of the replies are no number"
    assert undefined([1, 2], [1, 3]) == ""
    assert regression_measures([1e300, -1e300], [1, 2])["Pearson"] == pytest.approx(-1)


# --- intervals -----------------------------------------------------------------------------------


def mean_of(values: Any) -> Any:
    values = np.array(values, float)
    return Measures(lambda rows: {"mean": float(values[rows].mean())})


def test_a_bootstrap_of_the_mean_is_near_students_interval() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, 300)
    (found,) = bootstrap_intervals(mean_of(values), [""] * 300).values()
    wanted = mean_interval(list(values))
    assert found.mean == pytest.approx(wanted.mean)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.02)
    assert found == bootstrap_intervals(mean_of(values), [""] * 300)["mean"]


def test_resampling_takes_whole_groups() -> None:
    groups = ["x", "", "y", "x", "y", "y", ""]
    sizes = {"x": 2, "y": 3}
    for rows in resampled(groups, 0, 50):
        for group, size in sizes.items():
            drawn = [row for row in rows if groups[row] == group]
            assert len(drawn) % size == 0
            assert len({drawn.count(row) for row in range(7) if groups[row] == group}) == 1
    assert list(group_numbers(groups)) == [0, 1, 2, 0, 2, 2, 3]


def test_intervals_hold_where_rows_share_a_group() -> None:
    """40 groups of 10 rows that are all alike: an interval that counts 400 rows is far too sure."""
    chance = np.random.default_rng(1)
    groups = [f"g{n // 10}" for n in range(400)]
    covered = {"rows": 0, "groups": 0, "bootstrap": 0}
    for _ in range(200):
        values = np.repeat(chance.normal(0.0, 1.0, 40), 10)
        found = {
            "rows": mean_interval(list(values)),
            "groups": clustered_interval(list(values), groups),
            "bootstrap": bootstrap_intervals(mean_of(values), groups, resamples=200)["mean"],
        }
        for name, interval in found.items():
            covered[name] += (interval.low or 0) <= 0 <= (interval.high or 0)
    assert covered["rows"] < 100
    assert covered["groups"] > 180
    assert covered["bootstrap"] > 175


def test_clustered_intervals_at_their_edges() -> None:
    groups = ["a", "a", "b", "b"]
    assert clustered_interval([1, 0, 1, 1], [""] * 4) == mean_interval([1, 0, 1, 1])
    assert clustered_interval([1.0] * 4, groups).low == mean_interval([1.0, 1.0]).low
    alone = clustered_interval([0.2, 0.4], ["a", "a"])
    assert (alone.low, alone.high, alone.n) == (None, None, 2)
    # By hand: deviations -0.5 and 0.5 by group, error sqrt(2 * 0.5) / 4, t(1) = 12.7062.
    found = clustered_interval([0.25, 0.25, 0.5, 0.5], groups)
    assert (found.high - found.mean) == pytest.approx(12.7062 * math.sqrt(2 * 2 * 0.25**2) / 4)


def test_what_the_rows_cannot_tell_has_no_bounds() -> None:
    same = bootstrap_intervals(mean_of([1.0] * 5), [""] * 5)["mean"]
    assert (same.mean, same.low, same.high) == (1.0, None, None)
    found = bootstrap_intervals(regression([1, 2, 3], [2, 2, 2]), [""] * 3)
    assert (found["Pearson"].low, found["Pearson"].high) == (None, None)


def test_pairs_of_a_group_count_once() -> None:
    """Ten rows of one passage that all rose are one event; ten passages are ten."""
    before, after = [0.0] * 30, [1.0] * 10 + [0.0] * 20
    alone = compare_paired(before, after, [""] * 30)
    assert alone == compare_paired(before, after)
    together = compare_paired(before, after, ["p"] * 10 + [""] * 20)
    assert (together.gained, together.lost) == (10, 0)
    assert alone.p_value == 2 * 0.5**10
    assert together.p_value == 1.0


def test_measures_of_any_rows_are_those_of_these_rows() -> None:
    """The shortcut through counted statistics is the plain figure of the resampled rows."""
    chance = random.Random(3)
    truth = [chance.gauss(0, 1) for _ in range(60)]
    found = [value + chance.choice((0, 0, 1.5)) for value in truth]
    measure = regression(truth, found)
    for rows in resampled([""] * 60, 0, 5):
        plain = regression_measures([truth[r] for r in rows], [found[r] for r in rows])
        assert measure(rows) == pytest.approx(plain)


# --- texts ---------------------------------------------------------------------------------------

ANY_TEXT = st.text(max_size=30) | st.text(
    st.sampled_from("ab cd.,!?12 \n音叉は鳴る。ー"), max_size=40
)
LATIN = st.text(st.sampled_from("ab cC1,.-\n"), max_size=40)


def task_of(kind: str, references: list[str], **options: Any) -> Task:
    rows = tuple(
        Example(({"role": "user", "content": "q"}, {"role": "assistant", "content": text}))
        for text in references
    )
    return Task("mine", kind, find_kind(kind).settings(train="x", **options), rows, rows)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
@given(reply=LATIN, reference=LATIN)
def test_rouge_is_rouge_scores(name: str, reply: str, reference: str) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed")
    theirs = scorer.RougeScorer([name]).score(reference, reply)[name].fmeasure
    one, other = (words_of(text, "characters") for text in (reply, reference))
    ours = rouge_l(one, other) if name == "rougeL" else rouge_n(one, other, int(name[-1]))
    assert ours == pytest.approx(theirs)


@given(*[st.lists(st.sampled_from("abc"), max_size=9)] * 2)
def test_the_common_subsequence_by_brute_force(one: list[str], other: list[str]) -> None:
    def is_part(part: tuple[str, ...]) -> bool:
        rest = iter(other)
        return all(word in rest for word in part)

    parts = (part for size in range(len(one) + 1) for part in itertools.combinations(one, size))
    assert common_length(one, other) == max(len(part) for part in parts if is_part(part))


@given(pairs=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=6))
@pytest.mark.parametrize("tokenize", ["13a", "char", "zh", "intl", "ja-mecab"])
def test_bleu_is_sacrebleus(tokenize: str, pairs: list[tuple[str, str]]) -> None:
    library = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed (extra text)")
    if tokenize == "ja-mecab":
        pytest.importorskip("ipadic", reason="MeCab is not installed (extra ja)")
    replies, references = map(list, zip(*pairs, strict=True))
    task = task_of("bleu", references, tokenize=tokenize)
    theirs = library.BLEU(tokenize=tokenize).corpus_score(replies, [references])
    assert task.measures(replies, task.evaluation) == {"BLEU": pytest.approx(theirs.score)}
    assert f"|tok:{tokenize}" in task.how
    for reply, row in zip(replies, task.evaluation, strict=True):
        single = library.BLEU(tokenize=tokenize, effective_order=True)
        theirs = single.sentence_score(reply, [row.reply]).score / 100
        if reply.strip() and not same_text(reply, row.reply):
            assert task.score(reply, row) == pytest.approx(theirs)


@given(pairs=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=6))
def test_chrf_is_sacrebleus(pairs: list[tuple[str, str]]) -> None:
    library = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed (extra text)")
    replies, references = map(list, zip(*pairs, strict=True))
    task = task_of("chrf", references)
    theirs = library.CHRF().corpus_score(replies, [references])
    assert task.measures(replies, task.evaluation) == {"chrF": pytest.approx(theirs.score)}
    assert "nrefs:1|case:mixed|eff:yes|nc:6|nw:0" in task.how


def test_japanese_words() -> None:
    pytest.importorskip("unidic_lite", reason="fugashi is not installed (extra ja)")
    assert words_of("音叉は１つの音だけを出す。OK", "japanese") == [
        "音叉", "は", "1", "つ", "の", "音", "だけ", "を", "出す", "ok"]  # fmt: skip
    assert words_of("音叉は", "characters") == ["音", "叉", "は"]
    assert chosen_words("auto", task_of("rouge", ["音叉は鳴る", "東京"]).evaluation) == "japanese"
    assert chosen_words("auto", task_of("rouge", ["the cat", "東京は"]).evaluation) == "characters"


@given(text=ANY_TEXT)
def test_japanese_words_lose_no_letter(text: str) -> None:
    pytest.importorskip("unidic_lite", reason="fugashi is not installed (extra ja)")
    words, letters = (words_of(text, parted) for parted in ("japanese", "characters"))
    assert "".join(words) == "".join(letters)


def test_which_script() -> None:
    def script(*references: str) -> str:
        return script_of(task_of("rouge", list(references)).evaluation)

    assert script("音叉は鳴る", "東京") == "japanese"
    assert script("音叉", "东京") == "chinese"
    assert script("a fork", "音叉") == "other"
    assert script("") == "other"


def test_perplexity_follows_the_mean_loss() -> None:
    task = task_of("loss", ["a", "b", "c"])
    found = measures_of(task, {"scores": [1.0, 2.0, 3.0], "replies": ["", "", ""]})
    interval = mean_interval([1.0, 2.0, 3.0])
    perplexity = found["perplexity"]
    assert perplexity["mean"] == pytest.approx(math.exp(2))
    bounds = [math.exp(interval.low or 0), math.exp(interval.high or 0)]
    assert [perplexity["low"], perplexity["high"]] == pytest.approx(bounds)
    wild = measures_of(task, {"scores": [900.0] * 3, "replies": [""] * 3})["perplexity"]
    assert wild["mean"] is None


# --- the normalised score ------------------------------------------------------------------------


def test_the_normalised_score_by_hand() -> None:
    """Three models, a share and a loss: 10 · mean of (score - worst) / (best - worst)."""
    share, loss, same = (task_of(kind, ["a"] * 4) for kind in ("generate", "loss", "number"))
    tasks = [dataclasses.replace(t, name=n) for t, n in ((share, "s"), (loss, "l"), (same, "e"))]
    means = {"base": (0.25, 2.0), "middle": (0.5, 1.5), "tuned": (0.75, 1.0)}
    found = {
        label: {
            "s": {"scores": [1.0] * round(4 * right) + [0.0] * (4 - round(4 * right))},
            "l": {"scores": [mean - 0.1, mean + 0.1, mean, mean]},
            "e": {"scores": [0.0] * 4},
        }
        for label, (right, mean) in means.items()
    }
    made = normalised(tasks, found)
    assert made is not None
    assert made["left_out"] == ["e"]
    assert made["scale"]["s"] == {"worst": 0.25, "best": 0.75}
    assert made["scale"]["l"]["worst"] == pytest.approx(2.0)  # of a loss the largest
    values = {label: each["mean"] for label, each in made["scores"].items()}
    assert values == pytest.approx({"base": 0.0, "middle": 5.0, "tuned": 10.0})
    assert all(each["low"] < each["mean"] < each["high"] for each in made["scores"].values())
    assert normalised(tasks, {label: found[label] for label in ("base", "tuned")}) is None
    assert normalised(tasks[2:], found) is None


def test_classes_of_a_report() -> None:
    """Of many classes the most confused are shown, and how many there are is told."""
    labels = [f"class {n:02}" for n in range(40)]
    truth = labels * 3
    replies = [label if n % 40 > 4 else "no class" for n, label in enumerate(truth)]
    with pytest.MonkeyPatch.context() as patch:
        kind = dataclasses.replace(
            find_kind("generate"), classes=lambda replies, rows, settings: (truth, list(replies))
        )
        patch.setattr("onsa.tasks._task.find_kind", lambda name: kind)
        found = classes_of(task_of("generate", truth), {"replies": replies, "scores": []})
    assert found is not None
    assert found["classes"] == 40
    assert len(found["labels"]) == 12
    assert set(labels[:5]) <= set(found["labels"])
    assert found["others"][:5] == [3] * 5
    assert sum(map(sum, found["counts"])) == 7 * 3
    assert len(found["table"]) == 40
