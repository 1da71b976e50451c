"""Settings: validated when they are read, every fault one line that says the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from onsa.errors import InputError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused, no NaN or infinity in numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # YAML reads yes, on and true alike, and pydantic would take them for the number 1.
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and annotation is not bool and bool not in get_args(annotation):
            raise ValueError(f"cannot be {'yes' if value else 'no'}")
        return value

    def differs(self, key: str) -> bool:
        """Whether `key` has another value than its default."""
        default = type(self).model_fields[key].get_default(call_default_factory=True)
        return bool(getattr(self, key) != default)


class Budgeted(Settings):
    """Settings of a way of tuning whose length can be given in trained tokens."""

    trained_tokens: int | None = Field(
        None, ge=1, description="reply tokens of all its trainings, instead of num_train_epochs"
    )

    def require_places(self, model: Any) -> None:
        """Refuse, before anything is trained, parts or modules that the model does not have.

        Raises:
            InputError: what is named is not there.
        """


def validated(
    model: type[Model], values: Any, where: object, tasks: Sequence[str] | None = None
) -> Model:
    """`model(**values)`, with pydantic's report turned into one line.

    `tasks` are the names of the recipe's tasks, for settings that name tasks.
    """
    try:
        return model.model_validate(values, context={"tasks": tasks})
    except ValidationError as report:
        raise _one_line(report, model, values, where) from None


def _share(value: Any) -> Any:
    """`1%` is 0.01; a bare number is the share itself."""
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip()[:-1]) / 100
    return value


Share = Annotated[float, BeforeValidator(_share), Field(gt=0, lt=1)]


class Table(Protocol):
    """What can be looked into by name; an unknown one is an InputError."""

    def __getitem__(self, name: str, /) -> object: ...

    def descriptions(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Known:
    """Refuses a name that is not in the table: when it is read, not when it is needed."""

    table: Table

    def __call__(self, name: str) -> str:
        self.table[name]
        return name


def known_in(table: Table) -> AfterValidator:
    """For a setting that names something in `table`."""
    return AfterValidator(Known(table))


def choices_of(annotation: Any, metadata: Sequence[Any] = ()) -> list[str]:
    """The words that a setting of this type may be, where they are a closed list."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return [str(part) for part in parts]
    if get_origin(annotation) is Annotated:
        return choices_of(parts[0], parts[1:])
    checks = [mark.func for mark in metadata if isinstance(mark, AfterValidator)]
    named = [
        name for check in checks if isinstance(check, Known) for name in check.table.descriptions()
    ]
    return named + [name for part in parts for name in choices_of(part)]


def require_each_task(named: Sequence[str], info: ValidationInfo) -> None:
    """Refuse names that are not the recipe's tasks, each once.

    A setting is validated before the tasks are loaded, but inside its recipe: `build_recipe` hands
    the names of the tasks over. Without a recipe around it nothing is known of them.
    """
    tasks = (info.context or {}).get("tasks")
    if tasks is not None and sorted(named) != sorted(tasks):
        raise InputError(
            f"names {', '.join(named) or 'no task'}; the tasks are {', '.join(tasks)}",
            way_out="name every task exactly once",
        )


def _every_task_in_a_group(groups: list[list[str]], info: ValidationInfo) -> list[list[str]]:
    require_each_task([name for group in groups for name in group], info)
    if not all(groups):
        raise InputError("a group without a task", way_out="take it out")
    return groups


TaskGroups = Annotated[list[list[str]], AfterValidator(_every_task_in_a_group)]


def _one_line(
    report: ValidationError, model: type[BaseModel], values: Any, where: object
) -> InputError:
    faults = report.errors(include_url=False)
    faults = [each for each in faults if not _is_of_another_shape(each)] or faults
    fault = min(faults, key=_rank)
    path = _path(fault["loc"], values, fault["type"] == "missing")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    place = f"{where}: {path}" if path else where
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return InputError(cause.what, where=place, way_out=cause.way_out)
    if fault["type"] == "extra_forbidden":
        inside, _, key = path.rpartition(".")
        return InputError(
            f"unknown key {key!r}{more}",
            where=f"{where}: {inside}" if inside else where,
            way_out=did_you_mean(key, _nested(model, fault["loc"]).model_fields),
        )
    if fault["type"] == "missing":
        return InputError(f"missing{more}", where=place, way_out=f"add '{path}: ...'")
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given = f", not {fault['input']!r}"[:80] if "Value error" not in fault["msg"] else ""
    return InputError(f"{message}{given}{more}", where=place, way_out="mend the value")


def _nested(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    """The settings inside settings that the last part of `place` is a key of."""
    for part in place[:-1]:
        field = model.model_fields.get(str(part))
        parts = (field.annotation, *get_args(field.annotation)) if field else ()
        found = [each for each in parts if isinstance(each, type) and issubclass(each, BaseModel)]
        model = found[0] if found else model
    return model


def _is_of_another_shape(fault: Any) -> bool:
    """Where a value may be a word or a mapping: that a mapping is no word, a word no mapping."""
    is_mapping = isinstance(fault["input"], dict)
    return fault["type"] == ("literal_error" if is_mapping else "model_type")


def _rank(fault: Any) -> int:
    """The fault that says most comes first: our own words, then a key that is misspelt."""
    if isinstance(fault.get("ctx", {}).get("error"), InputError):
        return 0
    return 1 if fault["type"] == "extra_forbidden" else 2


def _path(place: tuple[int | str, ...], values: Any, missing: bool) -> str:
    """Where in `values` a fault is; pydantic puts the members of a union into the place too."""
    parts = [str(part) for part in place[:1]]
    inside: Any = values.get(place[0]) if place and isinstance(values, dict) else None
    for part in place[1:]:
        if isinstance(inside, list | tuple) if isinstance(part, int) else _has(inside, part):
            parts.append(str(part))
            inside = inside[part]
        elif missing and part == place[-1]:
            parts.append(str(part))
    return ".".join(parts)


def _has(value: Any, key: str) -> bool:
    return isinstance(value, dict) and key in value
