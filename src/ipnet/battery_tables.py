"""The tables of a battery, made once for the command line and the report."""

from typing import Literal

from ipnet.battery import MODELS, SMALLEST
from ipnet.tables import NONE, Cell, Sheet
from ipnet.written_battery import Number, WrittenBattery, WrittenTrend

Measure = Literal["rmse", "r"]
_MEASURES: dict[Measure, tuple[str, str]] = {
    "rmse": ("Distance from people (RMSE)", "Root of the mean squared difference of shares; smaller is nearer."),
    "r": ("Correlation with people (r)", "Correlation over the places of a series; a flat curve has none."),
}


def _number(value: Number) -> str:
    return NONE if value is None else f"{value:z.3f}"  # no -0.000


def _spread(value: Number, interval: tuple[Number, Number]) -> Cell:
    """A number with its interval."""
    low, high = map(_number, interval)
    return Cell(NONE if value is None else f"{_number(value)} [{low}, {high}]")


def distance_sheet(battery: WrittenBattery, measure: Measure) -> Sheet:
    """The card and the reference models beside people, a row for each series that people have numbers for."""
    rows = []
    for name, row in battery.distances.items():
        card, models = row["card"], [row.get(model) for model in MODELS]
        spread = _spread(getattr(card, measure), getattr(card, f"{measure}_interval"))
        others = [Cell(NONE if model is None else _number(getattr(model, measure))) for model in models]
        rows.append((Cell(name), spread, *others))
    heads = Cell("series"), Cell("card", "95 % interval"), *(Cell(*model.split(" ")) for model in MODELS)
    title, meaning = _MEASURES[measure]
    note = (
        f"{meaning} Intervals: bootstrap over simulated people. Beside the card, traces without physics, fitted "
        f"to people on {battery.fixed_on} alone; they do not say which word comes first."
    )
    return Sheet(title, heads, tuple(rows), note)


def _trend_row(trend: WrittenTrend) -> tuple[Cell, ...]:
    return Cell(trend.statement), Cell(trend.claim), _spread(trend.value, trend.interval), Cell(trend.verdict)


def trend_sheet(battery: WrittenBattery) -> Sheet:
    """The trends of people, each with its statistic and whether the card shows it."""
    heads = Cell("people"), Cell("claim"), Cell("statistic", "95 % interval"), Cell("the card")
    note = (
        f"A statistic above 0 is the trend of people. holds: its interval lies above {SMALLEST:g}; fails: below "
        "0; undecided: neither. Of several differences, the smallest."
    )
    return Sheet("Trends of people", heads, tuple(map(_trend_row, battery.trends)), note)


def battery_sheets(battery: WrittenBattery) -> tuple[Sheet, ...]:
    """All of them."""
    return distance_sheet(battery, "rmse"), distance_sheet(battery, "r"), trend_sheet(battery)
