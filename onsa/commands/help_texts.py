"""The help of every command in the user's language, put over the English before it is shown."""

from __future__ import annotations

from typing import Any

from typer import rich_utils

from onsa.language import tell

PANELS = (
    "ARGUMENTS_PANEL_TITLE",
    "OPTIONS_PANEL_TITLE",
    "COMMANDS_PANEL_TITLE",
    "DEFAULT_STRING",
    "REQUIRED_LONG_STRING",
)


def translate(command: Any) -> None:
    """Put the texts of a command and of those below it into the user's language."""
    for name in PANELS:
        setattr(rich_utils, name, tell(getattr(rich_utils, name)))
    _translate(command)


def _translate(command: Any) -> None:
    command.help = tell(command.help or "")
    usage = command.get_usage
    command.get_usage = lambda context: usage(context).replace("Usage:", tell("Usage:"), 1)
    option = command.get_help_option  # made when it is asked for
    command.get_help_option = lambda context: _told(option(context))
    for parameter in command.params:
        _told(parameter)
    for below in getattr(command, "commands", {}).values():
        _translate(below)


def _told(parameter: Any) -> Any:
    if getattr(parameter, "help", None):
        parameter.help = tell(parameter.help)
    return parameter
