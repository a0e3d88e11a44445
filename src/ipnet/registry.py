"""Extension points: a folder is a registry, a file in it is an entry, its name is the entry's name."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from ipnet.errors import IPNetError, invalid_config, unknown_name

C = TypeVar("C")
_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


@cache
def _installed(group: str) -> dict[str, str]:
    """The entry points of a group; what is installed does not change while a process runs."""
    return {point.name: point.value for point in entry_points(group=group)}


class Registry(Generic[C]):
    """The entries of one extension point.

    An entry is a module of `package` that defines exactly one concrete subclass of `contract`; the entry's
    name is the module's. Packages of other people add entries through an entry point whose group is
    `package` (for example ``[project.entry-points."ipnet.memory"] mine = "my_package.mine"``).

    Args:
        kind: what an entry is, for messages ("memory").
        package: dotted name of the folder, for example ``"ipnet.memory"``.
        contract: the abstract class that every entry fulfils.

    Example:
        >>> from ipnet.memory import MEMORIES
        >>> "lstm" in list(MEMORIES)
        True
    """

    def __init__(self, kind: str, package: str, contract: type[C]) -> None:
        self.kind, self.package, self.contract = kind, package, contract

    def _modules(self) -> dict[str, str]:
        folder = importlib.import_module(self.package).__path__
        found = {
            module.name: f"{self.package}.{module.name}"
            for module in pkgutil.iter_modules(folder)
            if not module.name.startswith("_")
        }
        return _installed(self.package) | found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._modules()))

    def __getitem__(self, name: str) -> type[C]:
        """The class of the entry `name`.

        Raises:
            IPNetError: no such entry, or its file does not define exactly one entry.
        """
        modules = self._modules()
        if name not in modules:
            raise unknown_name(self.kind, name, modules)
        module = importlib.import_module(modules[name])
        entries = [
            item
            for item in vars(module).values()
            if inspect.isclass(item)
            and issubclass(item, self.contract)
            and item.__module__ == module.__name__
            and not inspect.isabstract(item)
        ]
        if len(entries) != 1:
            raise IPNetError(
                f"the file of {self.kind} '{name}' must define exactly one concrete subclass of "
                f"{self.contract.__name__}; got {len(entries)}: give each entry its own file."
            )
        return entries[0]

    def build(self, name: str, /, *args: Any, **options: Any) -> C:
        """Construct the entry `name`; options are checked against the type hints of its constructor.

        Raises:
            IPNetError: no such entry or option (the nearest is named), or a value of the wrong type or range.
        """
        entry = self[name]
        hints = get_type_hints(entry.__init__)
        options_model: dict[str, Any] = {
            parameter.name: (
                hints.get(parameter.name, Any),
                ... if parameter.default is parameter.empty else parameter.default,
            )
            for parameter in list(inspect.signature(entry).parameters.values())[len(args) :]
        }
        for option in options:
            if option not in options_model:
                raise unknown_name(f"option of {self.kind} '{name}'", option, options_model)
        model = create_model("Options", __config__=_STRICT, **options_model)
        try:
            model.model_validate(options)
        except ValidationError as error:
            raise invalid_config(error, model, f"option of {self.kind} '{name}'") from error
        return entry(*args, **options)
