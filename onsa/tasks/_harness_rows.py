"""The rows of a task of lm-evaluation-harness, with what a model is asked about each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onsa.data.example import Example
from onsa.data.requests import Conversation, Request
from onsa.errors import InputError, shortened
from onsa.files import digest_of_json
from onsa.tasks._harness import library, quiet
from onsa.tasks._harness_settings import LmEval

DRAWING = {"do_sample", "temperature", "top_p", "top_k", "min_p", "num_beams", "repetition_penalty"}
GREEDY_HAS_NONE = {"temperature", "top_p", "top_k", "min_p"}


class _Turns(str):
    """What the library takes for a conversation written by a chat template, yet to be written."""

    conversation: Conversation


def _turns(messages: list[dict[str, Any]], add_generation_prompt: bool = True) -> _Turns:
    made = _Turns("conversation")
    made.conversation = {"messages": messages, "continued": not add_generation_prompt}
    return made


def examples_of(task: Any, settings: LmEval) -> list[Example]:
    is_chat = settings.apply_chat_template
    try:
        with quiet():
            task.build_all_requests(
                limit=settings.eval_rows,
                system_instruction=settings.system_instruction,
                apply_chat_template=is_chat,
                fewshot_as_multiturn=settings.fewshot_as_multiturn,
                chat_template=_turns if is_chat else None,
            )
    except Exception as fault:  # the task's own code and templates
        raise InputError(
            f"its rows cannot be made into questions ({shortened(fault)})",
            where=f"lm_eval:{settings.task}",
            way_out="check num_fewshot and apply_chat_template, or choose another task",
        ) from None
    rows: dict[int, list[Any]] = {}
    for instance in task.instances:
        rows.setdefault(instance.doc_id, []).append(instance)
    definition = _definition(task)
    return [_example(task, settings, number, asked, definition) for number, asked in rows.items()]


def _example(
    task: Any, settings: LmEval, number: int, asked: list[Any], definition: str
) -> Example:
    doc = asked[0].doc
    requests = [_request(each, settings) for each in sorted(asked, key=lambda each: each.idx)]
    question, target = _question(task, doc, requests[0]), _target(task, doc)
    return Example(
        (
            {"role": "user", "content": question},
            {"role": "assistant", "content": target},
        ),
        {
            "doc": json.loads(json.dumps(doc, default=str)),
            "number": number,
            "requests": requests,
            "definition": definition,
        },
        f"{settings.task}:{number + 1}",
    )


def _request(instance: Any, settings: LmEval) -> Request:
    kind, arguments = instance.request_type, instance.args
    context = "" if kind == "loglikelihood_rolling" else arguments[0]
    if settings.apply_chat_template and context and not isinstance(context, _Turns):
        raise InputError(
            "the task writes its questions as plain text only",
            where=f"lm_eval:{settings.task}",
            way_out="take apply_chat_template out",
        )
    generates = kind == "generate_until"
    return {
        "kind": kind,
        "context": context.conversation if isinstance(context, _Turns) else context,
        "continuation": "" if generates else arguments[-1],
        "how": _how_to_generate(arguments[1], settings) if generates else {},
        "times": instance.repeats or 1,
    }


def _how_to_generate(given: Mapping[str, Any], settings: LmEval) -> dict[str, Any]:
    """Where a text ends and how it is drawn, by the names of transformers' `generate`."""
    known = dict(library("models.utils").normalize_gen_kwargs(dict(given)))
    until, longest = known.pop("until", None) or [], known.pop("max_gen_toks")
    if unknown := sorted(set(known) - DRAWING):
        raise InputError(
            f"its generation_kwargs have {unknown[0]!r}, which is not known here",
            where=f"lm_eval:{settings.task}",
            way_out="choose another task",
        )
    if not known["do_sample"]:
        known = {key: value for key, value in known.items() if key not in GREEDY_HAS_NONE}
    ends = [until] if isinstance(until, str) else list(until)
    return {"until": ends, "max_gen_toks": settings.max_new_tokens or longest, **known}


def _question(task: Any, doc: Any, request: Request) -> str:
    """What is asked, without examples before it, for people and to find rows again."""
    if request["kind"] == "loglikelihood_rolling":
        return ""
    asked = task.doc_to_text(doc)
    if isinstance(asked, str):
        return asked
    context = request["context"]
    return context if isinstance(context, str) else str(context["messages"][-1]["content"])


def _target(task: Any, doc: Any) -> str:
    target = task.doc_to_target(doc)
    if isinstance(target, int) and getattr(task.config, "doc_to_choice", None) is not None:
        choices = task.doc_to_choice(doc)
        target = choices[target] if 0 <= target < len(choices) else target
    if isinstance(target, list):
        target = " / ".join(map(str, target))
    return str(target).strip()


def _definition(task: Any) -> str:
    """Equal where the library and the task's own file are: prompts, filters, metrics."""
    config = {key: value for key, value in task.dump_config().items() if key != "metadata"}
    plain = json.loads(json.dumps(config, default=str))
    return digest_of_json([library().__version__, plain])
