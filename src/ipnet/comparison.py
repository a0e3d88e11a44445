"""Comparing contenders: within one study only, where everything but the contender and the seed is the same.

A study states what a contender has of its own in its table ``[contender]``; every run keeps what the study has
instead, so that two runs belong together if, and only if, they differ in nothing but their contenders' tables.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from ipnet.cache import content_hash
from ipnet.cards import Card
from ipnet.config import Study, read_config, shipped_configs
from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.pairing import Paired, corrected, paired
from ipnet.results import Result
from ipnet.settings import lay_over
from ipnet.standing import Standing, chosen, standing_of


class Comparison:
    """The results of one study: everything but contender and seed is the same.

    Args:
        results: with equal configuration (but for contender and seed) and equal data.

    Raises:
        IPNetError: two results of one contender and seed.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = tuple(results)
        names = dict.fromkeys(result.contender for result in results)
        self.standings = {name: standing_of([r for r in results if r.contender == name]) for name in names}

    @property
    def ranking(self) -> list[Standing]:
        """The most accurate contender first."""
        return sorted(self.standings.values(), key=lambda standing: (-standing.accuracy, standing.contender))

    @property
    def memories(self) -> dict[str, str]:
        """The memory of each contender."""
        return {name: standing.memory for name, standing in self.standings.items()}

    @property
    def study(self) -> str:
        """The name of the study."""
        return str(self.results[0].config["study"])

    @property
    def data(self) -> dict[str, Any]:
        """Facts about the data."""
        return self.results[0].data

    @property
    def real(self) -> bool:
        """Whether the data are recordings."""
        return bool(self.data["real"])

    @cached_property
    def best(self) -> Standing | None:
        """The intrinsic contender with the best validation score; the test split has no say."""
        return chosen(tuple(self.standings.values()))

    @cached_property
    def against_best(self) -> dict[str, Paired]:
        """Every other contender paired with `best`, p-values Holm-corrected; empty without `best`."""
        best = self.best
        if best is None:
            return {}
        others = [standing for standing in self.ranking if standing is not best]
        tests = corrected([paired(other.results, best.results) for other in others])
        return {other.contender: test for other, test in zip(others, tests, strict=True)}

    def of_memory(self, memory: str) -> Standing | None:
        """The contender with this memory; of several the one with the best validation score."""
        able = [standing for standing in self.standings.values() if standing.memory == memory]
        return max(able, key=lambda standing: standing.validation) if able else None

    @cached_property
    def command(self) -> str:
        """The command line that makes these results."""
        return command_of(self.results[0])


def command_of(result: Result) -> str:
    """The command line that makes a result: of a shipped study, or of the user's own TOML file."""
    study = str(result.config["study"])
    if study in shipped_configs():
        shipped = read_config(Study, study).runs()[0].model_dump(mode="json")
        if _setting(shipped) == _setting(result.config):
            return f"ipnet study {study}"
    return f"ipnet study {study}.toml"


def _setting(config: dict[str, Any]) -> str:
    """The study's part of a run's configuration, hashed."""
    shared = lay_over(config, config.get("instead_of", {}))
    of_a_run = ("contender", "stands_for", "seed", "instead_of")
    return content_hash({key: value for key, value in shared.items() if key not in of_a_run})


def same_setting(results: Sequence[Result]) -> list[list[Result]]:
    """Results sorted into studies, in the order in which the studies appear."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((_setting(result.config), result.data["fingerprint"]), []).append(result)
    return list(groups.values())


def comparisons(results: Sequence[Result]) -> list[Comparison]:
    """The studies of classes among `results`; those of a measured quantity are `ipnet.prediction_error`'s."""
    return [Comparison(study) for study in same_setting([r for r in results if not r.is_regression])]


def card_of(result: Result) -> Card[Any, Any] | None:
    """The device card of an intrinsic result; None without one, or if the card on disk has other values."""
    options = result.config["memory"].get("intrinsic", {})
    if result.model["memory"] != "intrinsic":
        return None
    try:
        horizons = result.physics.get("bank_horizons", [0.0])  # the facts are of the longest, see Intrinsic.report
        clock = (options.get("clock") or {}) | (options.get("bank") or [{}])[horizons.index(max(horizons))]
        card = load_device(options.get("card", "mtj-thermal"), **clock).card
    except IPNetError:
        return None
    same = (
        table.model_validate(result.physics[name], strict=False)
        == getattr(card, name)  # JSON has lists for tuples
        for name, table in (("parameters", type(card.parameters)), ("clock", type(card.clock)))
    )
    try:
        return card if all(same) else None
    except ValidationError:
        return None  # values of an earlier form of the card


def percent(share: float) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.9965)
        '99.65 %'
    """
    return f"{100 * share:.2f} %"
