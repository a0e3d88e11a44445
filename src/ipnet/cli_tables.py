"""The tables that the command line prints about a study, 80 columns wide."""

from rich import box
from rich.markup import escape
from rich.table import Table

from ipnet.comparison import compare
from ipnet.prediction_error import error_studies
from ipnet.results import Result


def _table(first: Result, caption: str, columns: tuple[str, ...]) -> Table:
    """An empty table about the study of a result."""
    kind = "real" if first.data["real"] else "SIMULATED"
    title = escape(first.config["title"] or first.config["study"])
    table = Table(
        title=f"{title}\n{first.data['name']}: {kind} data, test split",
        caption=caption,
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    for name in columns:
        table.add_column(name, justify="left" if name == "contender" else "right", no_wrap=True)
    return table


def error_table(results: list[Result]) -> Table:
    """The table of a regression study for people."""
    caption = (
        f"{escape(results[0].outputs[0])}; 95 % intervals\n"
        "to reference: RMSE against the intrinsic memory that validates best"
    )
    columns = ("contender", "RMSE", "MAE", "expl. var.", "n x seeds", "to reference, %")
    table = _table(results[0], caption, columns)
    for study in error_studies(results):
        for line in study:
            rmse, mae, share = (line.metric(name) for name in ("rmse", "mae", "explained_variance"))
            change = line.against
            spread = (
                f"{100 * change.value:+.0f} [{100 * change.low:+.0f}, {100 * change.high:+.0f}]" if change else ""
            )
            table.add_row(
                line.contender,
                f"{rmse.value:.3g} [{rmse.low:.3g}, {rmse.high:.3g}]",
                f"{mae.value:.3g}",
                f"{share.value:.3f}",
                f"{rmse.n} x {line.seeds}",
                spread,
            )
    return table


def accuracy_table(results: list[Result]) -> Table:
    """The table of a study for people."""
    caption = (
        "95 % intervals; with one seed, a clip and its reverse count as independent\n"
        "class: direction ignored; MACs: one clip; s: to train"
    )
    columns = ("contender", "accuracy, %", "n x seeds", "class, %", "weights", "MACs", "s")
    table = _table(results[0], caption, columns)
    for line in compare(results):
        table.add_row(
            line.contender,
            f"{100 * line.accuracy:.1f} [{100 * line.low:.1f}, {100 * line.high:.1f}]",
            f"{line.n} x {line.seeds}",
            f"{100 * line.class_accuracy:.1f}" if line.class_accuracy is not None else "",
            f"{line.parameters:,}",
            f"{line.macs_per_clip / 1e6:.1f} M",
            f"{line.train_seconds:.0f}",
        )
    return table
