"""The one error a user can cause, and the sentences it carries."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class IPNetError(ValueError):
    """Something the user gave breaks a rule; the message says the rule, the value and the cure.

    The command line prints the message alone and exits with code 2.
    """


class DivergedError(IPNetError):
    """Training went where numbers end."""


class BusyError(IPNetError):
    """Another process is at it."""


class LostConnection(IPNetError):  # noqa: N818
    """An instrument does not answer in time, or not at all; another connection may help."""


class GarbledReply(IPNetError):  # noqa: N818
    """An instrument answers what cannot be an answer; asking again on a new connection may help."""


class UnreadableError(IPNetError):
    """An instrument works, and what it measured is no answer: the junction may be broken."""


def unknown_name(kind: str, name: str, names: Iterable[str]) -> IPNetError:
    """The error for a name that is not in a list: nearest match first, then the list.

    Example:
        >>> str(unknown_name("memory", "lstn", ["none", "lstm"]))
        "unknown memory 'lstn'; did you mean 'lstm'? Known: lstm, none."
    """
    known = sorted(names)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" did you mean '{near[0]}'?" if near else ""
    return IPNetError(f"unknown {kind} '{name}';{hint} Known: {', '.join(known) or 'none at all'}.")


def invalid_config(error: "ValidationError", model: type["BaseModel"], where: str) -> IPNetError:
    """The first finding of pydantic as one sentence that names the file, the key, the rule and the value."""
    finding = error.errors()[0]
    path = [str(part) for part in finding["loc"] if "[" not in str(part)]  # pydantic's own steps have brackets
    if finding["type"] == "extra_forbidden":
        return IPNetError(f"{where}: {unknown_name('key', '.'.join(path), _keys_at(model, path))}")
    if finding["type"] == "missing":
        return IPNetError(f"{where}: '{'.'.join(path)}' is missing; add it.")
    rule = finding["msg"].removeprefix("Value error, ").removesuffix(".")
    if not path:
        return IPNetError(f"{where}: {rule}.")
    rule = rule.replace("Input should", "must").replace("Input", "input")
    return IPNetError(f"{where}: '{'.'.join(path)}' {rule}; got {finding['input']!r}.")


def _keys_at(model: type["BaseModel"], path: list[str]) -> list[str]:
    """The keys allowed where `path` points, with their dotted prefix."""
    fields = model.model_fields
    for part in path[:-1]:
        inner = fields[part].annotation if part in fields else None
        fields = getattr(inner, "model_fields", {})
    return [".".join([*path[:-1], name]) for name in fields]
