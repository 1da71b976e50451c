"""The command line. Each command calls one module; heavy imports happen inside the commands."""

from __future__ import annotations

import io
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from onsa import __version__, language
from onsa.errors import InputError
from onsa.language import tell

app = typer.Typer(
    help="onsa (音叉): tune one pre-trained model for several tasks without losing any of them.",
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipeFile = Annotated[Path, typer.Argument(help="A YAML recipe.", metavar="RECIPE")]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.", metavar="RUN")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="key=value pairs put over the recipe.", metavar="KEY=VALUE"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


STOPPED = 130  # 128 + SIGINT, as shells have it
# What the parser raises. Newer typers bring a click of their own, so click's name is no help.
Misuse: Any = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command line: 0 done, 2 bad input, 130 stopped by Ctrl-C."""
    _print_whatever_comes()
    try:
        code = _in_the_users_language(sys.argv[1:])
        if code == STOPPED:  # how typer reports Ctrl-C when it is not standalone
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except InputError as fault:
        _end(fault.told, 2)
    except (KeyboardInterrupt, typer.Abort):
        said = "stopped; finished steps are kept, start the same command again to go on"
        _end(tell(said), STOPPED)
    except Misuse as fault:
        command = fault.ctx.command_path if fault.ctx else "onsa"
        what = fault.format_message().rstrip(".")
        _end(InputError(what, way_out=f"see '{command} --help'").told, 2)
    except BrokenPipeError:  # `onsa tasks | head`
        sys.stderr.close()
        sys.exit(0)
    except OSError as fault:
        what, where = fault.strerror or str(fault), fault.filename or ""
        way_out = "mend that and start the same command again: finished steps are kept"
        _end(InputError(what, where=where, way_out=way_out).told, 2)


def _in_the_users_language(arguments: list[str]) -> Any:
    """Carry out a command; `--lang` counts wherever it stands, also after the command."""
    language.choose(language.by_environment())
    named, rest = _without_language(arguments)
    if named is not None:
        if (known := language.known(named)) is None:
            spoken = " or ".join(language.LANGUAGES)
            raise InputError(
                f"unknown language {named!r}", where="--lang", way_out=f"the languages are {spoken}"
            )
        language.choose(known)
    command = typer.main.get_command(app)
    if language.chosen() != "en":
        from onsa.commands.help_texts import translate

        translate(command)
    return command(rest, prog_name="onsa", standalone_mode=False)


def _without_language(arguments: list[str]) -> tuple[str | None, list[str]]:
    """What `--lang` says, and the other arguments; one without a value is left to the parser."""
    named, rest, waiting = None, list[str](), list(arguments)
    while waiting and waiting[0] != "--":
        argument = waiting.pop(0)
        if argument.startswith("--lang="):
            named = argument.partition("=")[2]
        elif argument == "--lang" and waiting:
            named = waiting.pop(0)
        else:
            rest.append(argument)
    return named, rest + waiting


def _print_whatever_comes() -> None:
    """Characters that a terminal does not have, or broken ones piped in, end no run."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if stream is sys.stdin else "backslashreplace")


def _end(line: object, code: int) -> None:
    print(f"onsa: {line}", file=sys.stderr)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    lang: Annotated[
        str,
        typer.Option(
            "--lang",
            metavar="en|ja",
            help="Language, before or after the command; else by ONSA_LANG or the locale.",
        ),
    ] = "",
) -> None:
    if version:
        print(f"onsa {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def init(
    files: Annotated[
        list[Path], typer.Argument(help="Data files, one task each.", metavar="FILE…")
    ],
    model: Annotated[str, typer.Option(help="Model folder or hub name.")] = "",
    output: Annotated[Path, typer.Option(help="The recipe to write.")] = Path("recipe.yaml"),
) -> None:
    """Write a commented recipe from data files.

    Example: `onsa init maths.jsonl logic.jsonl --model ./smollm2`
    """
    from onsa.commands.init import write_recipe

    print(tell(write_recipe(files, model, output)))


@app.command()
def check(recipe: RecipeFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show what a recipe would do, without training: rows, trained tokens, memory, time.

    Example: `onsa check recipe.yaml`
    """
    from onsa.commands.check import check_recipe
    from onsa.commands.check_view import show

    facts = check_recipe(recipe, overrides or [])
    _print_json(facts) if as_json else show(facts)


@app.command()
def data(
    files: Annotated[
        list[str], typer.Argument(help="Data files, folders or globs.", metavar="FILE…")
    ],
    evaluation: Annotated[
        str | None, typer.Option("--eval", help="Evaluation rows to compare with.", metavar="FILE")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model whose tokens are counted.", metavar="MODEL")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="prompt=question,reply=answer", metavar="PART=COLUMN,…")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="Shape of the rows, where looking is not enough.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help="Only rows with these values.", metavar="COLUMN=VALUE,…"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="The column that tells training from evaluation rows.",
            metavar="column=usage,train=train,eval=test",
        ),
    ] = None,
    near: Annotated[
        str | None,
        typer.Option(help="Rows searched for near duplicates: a number, all, or 0.", metavar="N"),
    ] = None,
    presidio: Annotated[
        str | None,
        typer.Option(help="Also find names, by Presidio in this language.", metavar="LANGUAGE"),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the rows cleaned, as JSON Lines.", metavar="FILE")
    ] = None,
    rules: Annotated[
        str | None, typer.Option(help="Rules to clean by, with commas.", metavar="RULE,…")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write what was found as a page.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what is in data files: lengths, languages, labels, repeats, personal data; clean them.

    Example: `onsa data train.jsonl --eval test.jsonl --write clean.jsonl`
    """
    from onsa.commands.data import Request, examine
    from onsa.commands.data_view import show
    from onsa.progress import Progress

    request = Request(
        files,
        evaluation,
        model,
        columns,
        format,
        near,
        presidio,
        write,
        rules,
        page,
        where,
        split,
    )
    facts = examine(request, Progress(quiet or as_json))
    _print_json(facts) if as_json else show(facts)


@app.command()
def tune(
    recipe: RecipeFile,
    overrides: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Tune a model by a recipe, and write its report.

    Example: `onsa tune recipe.yaml core_share=0.02 learning_rate=2e-4`
    """
    from onsa.commands.tune import carry_out, read_recipe
    from onsa.progress import Progress

    read = read_recipe(recipe, overrides or [])
    run = carry_out(read, recipe.resolve().parent, Progress(quiet), _command())
    _finish(run.folder, as_json)


@app.command()
def compare(
    recipe: RecipeFile,
    overrides: Overrides = None,
    methods: Annotated[
        str, typer.Option(help="Methods, or labels of the recipe's baselines, with commas.")
    ] = "",
    seeds: Annotated[int, typer.Option(help="Seeds, from the recipe's own on.")] = 1,
    budget: Annotated[
        str | None, typer.Option(help="tokens=N, flops=N or minutes=N, for each of them.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder; else the recipe's own with -compare behind.")
    ] = None,
    take: Annotated[
        str | None, typer.Option(help="Whose model is written; else the best one's.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare ways of tuning at equal cost, over several seeds: which one for these tasks?

    Example: `onsa compare recipe.yaml --methods base,prompt_only,full,lora,cpi_ft --seeds 3`
    """
    from onsa.commands.compare import compare as compare_ways
    from onsa.progress import Progress

    folder = compare_ways(
        recipe,
        overrides or [],
        methods=[name.strip() for name in methods.split(",") if name.strip()],
        seeds=seeds,
        budget=budget,
        output=output,
        take=take,
        progress=Progress(quiet),
        command=_command(),
    )
    _tell_ranking(folder, as_json)


@app.command(name="eval")
def evaluate(
    words: Annotated[
        list[str],
        typer.Argument(
            help="Models (folder, adapter, run or hub name), a recipe, key=value pairs.",
            metavar="MODEL… RECIPE [KEY=VALUE]…",
        ),
    ],
    rows: Annotated[
        int | None, typer.Option(min=1, help="Evaluation rows of each task; else all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder; else the recipe's own with -eval behind.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score models as they are on a recipe's tasks; several are compared on the same rows.

    Example: `onsa eval ./smollm2 runs/first recipe.yaml --rows 100`
    """
    from onsa.commands.eval import evaluate as evaluate_models
    from onsa.commands.eval import split_words
    from onsa.files import read_json
    from onsa.progress import Progress
    from onsa.report.pages.evaluation import evaluation_lines

    models, recipe, overrides = split_words(words)
    folder = evaluate_models(
        models,
        recipe,
        overrides,
        rows=rows,
        output=output,
        progress=Progress(quiet),
        command=_command(),
    )
    facts = read_json(folder / "eval.json")
    if as_json:
        _print_json(facts)
        return
    print(tell("\n".join(evaluation_lines(facts))))
    print(tell(f"\nreport  {folder / 'eval.html'}"))


@app.command()
def diff(
    before: RunFolder,
    after: RunFolder,
    page: Annotated[Path | None, typer.Option(help="Write it as a page too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two runs: settings, data, versions, scores, examples, costs.

    Example: `onsa diff runs/first runs/second --page diff.html`
    """
    from onsa.commands.diff import compare_runs
    from onsa.report.pages.difference import difference_lines

    facts = compare_runs(before, after, page)
    if as_json:
        _print_json(facts)
        return
    print(tell("\n".join(difference_lines(facts))))
    if page is not None:
        print(tell(f"\nreport  {page}"))


@app.command()
def add(
    run: RunFolder,
    recipe: RecipeFile,
    overrides: Overrides = None,
    replay: Annotated[
        float | None, typer.Option(help="Share of the earlier tasks' rows to mix in.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="RUN is a tuned model that onsa did not make; this its base.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Teach a finished run one more task, with the cores of its earlier tasks held.

    Example: `onsa add runs/first more.yaml --replay 0.02`
    """
    from onsa.commands.add import add_tasks
    from onsa.progress import Progress

    given = list(overrides or []) + ([] if replay is None else [f"replay={replay}"])
    done = add_tasks(run, recipe, given, base, Progress(quiet), _command())
    _finish(done.folder, as_json)


@app.command()
def report(run: RunFolder, as_json: AsJson = False) -> None:
    """Show where a run's report is, made anew from its figures.

    Example: `onsa report runs/first`
    """
    from onsa.commands.report import rewrite_page

    is_comparison = rewrite_page(run)
    _tell_ranking(run, as_json) if is_comparison else _finish(run, as_json)


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List the ways of tuning and their settings.

    Example: `onsa methods`
    """
    from onsa.methods import all_methods

    _list([(m.name, m.summary, m.paper, m.settings) for m in all_methods().values()], as_json)


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the kinds of task and their settings.

    Example: `onsa tasks`
    """
    from onsa.tasks import all_kinds

    _list([(k.name, k.summary, "", k.settings) for k in all_kinds().values()], as_json)


@app.command()
def chat(
    run: RunFolder,
    system: Annotated[str, typer.Option(help="A system message.")] = "",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply.")] = 256,
) -> None:
    """Talk to the tuned model, a line each; an empty line ends.

    Example: `onsa chat runs/first`
    """
    from onsa.commands.chat import converse

    converse(run, system, max_new_tokens)


@app.command()
def merge(
    run: RunFolder,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; else RUN/merged.", metavar="FOLDER")
    ] = None,
) -> None:
    """Fold a run's adapter into its base: a plain Hugging Face folder.

    Example: `onsa merge runs/lora`
    """
    from onsa.commands.merge import merge_adapter

    print(tell(merge_adapter(run, output)))


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Tune a real small model for real tasks, with CPI-FT and what it is compared with.

    Example: `onsa demo`
    """
    from onsa.commands.demo import run_demo
    from onsa.progress import Progress

    run_demo(output, seed, Progress(quiet), _command())
    _finish(output, as_json)


def _finish(folder: Path, as_json: bool) -> None:
    """The figures for a program, or for a person the verdict and where to look."""
    from onsa.files import read_json
    from onsa.report.verdict import verdict

    facts = read_json(folder / "report.json")
    if as_json:
        _print_json(facts)
        return
    said = verdict(facts)
    print(tell("\n".join((*said.alarms, said.headline, "", *said.sentences))))
    print(tell(f"\nmodel   {folder / 'model'}\nreport  {folder / 'report.html'}"))


def _tell_ranking(folder: Path, as_json: bool) -> None:
    from onsa.commands.compare_view import ranking_lines
    from onsa.files import read_json

    facts = read_json(folder / "compare.json")
    if as_json:
        _print_json(facts)
        return
    print("\n".join(ranking_lines(facts)))
    model = f"\nmodel   {folder / 'model'} ({facts['model_of']})" if facts["model_of"] else ""
    print(tell(f"{model}\nreport  {folder / 'compare.html'}"))


def _list(rows: list[tuple[str, str, str, Any]], as_json: bool) -> None:
    entries: list[dict[str, Any]] = [
        {"name": name, "summary": summary, "paper": paper, "settings": _settings(settings)}
        for name, summary, paper, settings in rows
    ]
    if as_json:
        _print_json(entries)
        return
    for entry in entries:
        paper = f" ({entry['paper']})" if entry["paper"] else ""
        print(f"{entry['name']}{paper}\n    {tell(entry['summary'])}")
        for key, value in entry["settings"].items():
            default = tell("required") if value["required"] else json.dumps(value["default"])
            print(f"      {key}: {default}  {tell(value['description'])}".rstrip())
            if value["choices"]:
                print(tell(f"          words: {', '.join(value['choices'])}"))


def _settings(settings: Any) -> dict[str, dict[str, Any]]:
    from onsa.settings import choices_of

    return {
        key: {
            "required": field.is_required(),
            "default": None if field.is_required() else _plain(field.get_default()),
            "choices": choices_of(field.annotation, field.metadata),
            "description": field.description or "",
        }
        for key, field in settings.model_fields.items()
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict) else None


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))


def _command() -> str:
    """The command as it was given; bytes in it that are no text are written as escapes."""
    command = shlex.join(["onsa", *sys.argv[1:]])
    return command.encode("utf-8", "backslashreplace").decode("utf-8")
