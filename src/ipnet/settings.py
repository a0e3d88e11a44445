"""Tables within tables, as TOML has them: read, changed by ``key=value``, laid over each other, flattened."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ipnet.errors import IPNetError, invalid_config, unknown_name

M = TypeVar("M", bound=BaseModel)


def find_file(name_or_path: str | Path, shipped: dict[str, Path], kind: str) -> Path:
    """A TOML file by its path, or a shipped one by its name.

    Raises:
        IPNetError: a name that is not among the shipped ones.
    """
    text = str(name_or_path)
    if text.endswith(".toml"):
        return Path(text)
    if text not in shipped:
        raise unknown_name(kind, text, shipped)
    return shipped[text]


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The content of a TOML file; `kind` says what it should be, for messages.

    Raises:
        IPNetError: the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise IPNetError(f"{kind} '{path}' cannot be read ({error.strerror}); check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise IPNetError(f"{kind} '{path}' is not valid TOML: {error}.") from error


def read_json(path: Path, model: type[M], kind: str) -> M:
    """A JSON file that a command wrote; `kind` says what it should be, for messages.

    Raises:
        IPNetError: the file cannot be read, or holds something else.
    """
    try:
        return model.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        raise invalid_config(error, model, f"{kind} '{path}'") from error
    except (OSError, UnicodeDecodeError) as error:
        raise IPNetError(f"{kind} '{path}' cannot be read: {error}.") from error


def apply_setting(content: dict[str, Any], setting: str) -> None:
    """Change one value of `content` by a text such as ``"training.epochs=3"``.

    Raises:
        IPNetError: no key or value in it, or a key below a value.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise IPNetError(f"a setting is written key=value, such as training.epochs=3; got '{setting}'.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise IPNetError(f"'{table}' in the setting '{setting}' is a value, not a table; it has no keys.")
    content[last] = value


def lay_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, table into table; an entry that is None takes away what was there.

    Example:
        >>> lay_over({"clock": {"gain": 1, "V_max": 2}, "seed": 3}, {"clock": {"gain": 5}, "seed": None})
        {'clock': {'gain': 5, 'V_max': 2}}
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            merged[key] = lay_over(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def replaced(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What `lay_over` needs to make `before` of `after` again.

    Example:
        >>> replaced({"clock": {"gain": 1, "V_max": 2}}, {"clock": {"gain": 5, "V_max": 2}, "bank": []})
        {'clock': {'gain': 1}, 'bank': None}
    """
    found: dict[str, Any] = {}
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if inner := replaced(old, new):
                found[key] = inner
        elif old != new:
            found[key] = old
    return found


def flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Tables within tables by dotted keys.

    Example:
        >>> flatten({"memory": {"clock": {"gain": 0.1}}, "is": "lstm"})
        {'memory.clock.gain': 0.1, 'is': 'lstm'}
    """
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = flatten(value) if isinstance(value, Mapping) else {"": value}
        flat |= {f"{key}.{name}".rstrip("."): entry for name, entry in inner.items()}
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`.

    Example:
        >>> nested({"memory.clock.gain": 0.1, "is": "lstm"})
        {'memory': {'clock': {'gain': 0.1}}, 'is': 'lstm'}
    """
    tables: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        table = tables
        for name in path:
            table = table.setdefault(name, {})
        table[last] = value
    return tables


def toml_value(value: Any) -> str:
    """A value as it stands on one line of a TOML file.

    Example:
        >>> toml_value([{"t_cycle": 7e-07, "operation": "bias"}, True])
        '[{ t_cycle = 7e-07, operation = "bias" }, true]'
    """
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {toml_value(inner)}' for key, inner in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
