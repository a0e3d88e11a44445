"""Contenders with a table of their own: what they are, what they change, and who may be compared with whom."""

from pathlib import Path

import pytest

from fabricated import fabricate, right_but
from ipnet.budget import Backbone
from ipnet.claims import ledger
from ipnet.comparison import comparisons
from ipnet.config import Run, Study, read_config
from ipnet.errors import IPNetError
from ipnet.network import Network, build_network, count_parameters
from ipnet.results import Result, read_results

CONFIG = """
study = "s"
contenders = ["none", "intrinsic@frontier", "bank", "lstm"]
seeds = [0, 7]
data = { name = "nmnist" }
[memory.intrinsic]
card = "mtj-thermal"
clock = { gain = 0.02, operation = "bias" }
[backbone]
width = 8
blocks = [1, 1]
[contender.bank]
is = "intrinsic@frontier"
memory.bank = [{ t_cycle = 700e-9 }, { t_cycle = 220e-9 }]
memory.clock.gain = 0.05
[contender.lstm]
training.learning_rate = 4e-3
"""
SHAPE, OUTPUTS = (2, 16, 16), 5
RESULTS = Path(__file__).parents[1] / "docs" / "results"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG)
    return path


def _run(config: Path, contender: str, *settings: str) -> Run:
    return read_config(Run, config, [f"contender={contender}", *settings])


def test_a_table_changes_its_contender_alone(config: Path) -> None:
    none, frontier, bank, lstm = read_config(Study, config).runs()[:4]
    assert (bank.name, bank.memory_name, bank.positions) == ("bank-seed0", "intrinsic", ("frontier",))
    assert bank.memory["intrinsic"] == {
        "card": "mtj-thermal",
        "clock": {"gain": 0.05, "operation": "bias"},
        "bank": [{"t_cycle": 700e-9}, {"t_cycle": 220e-9}],
    }
    assert "bank" not in frontier.memory["intrinsic"]
    assert [run.training.learning_rate for run in (none, frontier, bank, lstm)] == [2e-3, 2e-3, 2e-3, 4e-3]
    assert build_network(bank, SHAPE, OUTPUTS).memories["frontier"].widening(**bank.memory["intrinsic"]) == 2


def test_a_run_says_what_the_study_has_instead(config: Path) -> None:
    none, frontier, bank, lstm = (run.model_dump(mode="json") for run in read_config(Study, config).runs()[:4])
    assert bank["stands_for"] == "intrinsic@frontier"
    assert bank["instead_of"] == {"memory": {"intrinsic": {"bank": None, "clock": {"gain": 0.02}}}}
    assert lstm["instead_of"] == {"training": {"learning_rate": 2e-3}}
    for plain in (none, frontier):
        assert not {"stands_for", "instead_of"} & plain.keys()


@pytest.mark.parametrize("contender", ["none", "intrinsic@frontier", "bank", "lstm"])
def test_train_makes_the_run_of_the_study(contender: str, config: Path) -> None:
    settings = ["training.epochs=3", "contender.lstm.training.noise={hot_pixels=0.01}"]
    runs = {(run.contender, run.seed): run for run in read_config(Study, config, settings).runs()}
    assert _run(config, contender, "seed=7", *settings) == runs[contender, 7]
    assert Run.model_validate(runs[contender, 7].model_dump(mode="json")) == runs[contender, 7]


def test_train_takes_contenders_and_seeds_beside_those_of_the_study(config: Path) -> None:
    assert _run(config, "gru@head", "seed=3").name == "gru-at-head-seed3"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[contender.lstm]",
            "[contender.lstn]",
            r"\[contender\.\"lstn\"\] needs 'lstn' among.*add it",
        ),
        ('"bank",', '"a/b",', r"'contenders\.2' must do as a folder's name.*got 'a/b'"),
        ('"bank",', '"..",', r"'contenders\.2' must do as a folder's name.*got '\.\.'"),
        ('"bank",', '"bank", "my-lstm",', r"must be a memory.*got 'my-lstm': say what it is"),
        ('"none",', '"bank-2@", ', r"must be a memory.*got 'bank-2@'"),
        ('"bank",', '"bank", "intrinsic-at-frontier",', r"must be a memory and where it stands"),
        (
            "training.learning_rate",
            "training.learning_rat",
            r"'training\.learning_rat'; did you mean",
        ),
        ("learning_rate = 4e-3", "epochs = 0", r"contender 'lstm': 'training\.epochs' must be greater"),
        ("training.learning_rate", "trainin.learning_rate", r"unknown key 'contender\.lstm\.trainin'"),
        (
            "training.learning_rate = 4e-3",
            "backbone = {width = 8, parameters = 9}",
            r"either width or parameters",
        ),
        ('is = "intrinsic@frontier"', 'is = "a b"', r"'contender\.bank\.is'.*got 'a b'"),
        ('"none",', '"none", "none",', r"got 'none' twice"),
    ],
)
def test_mistakes_are_named(old: str, new: str, message: str, config: Path) -> None:
    config.write_text(CONFIG.replace(old, new, 1))
    with pytest.raises(IPNetError, match=message) as caught:
        read_config(Study, config)
    assert str(caught.value).startswith("configuration 'mine.toml': ")
    assert "\n" not in str(caught.value)


def test_a_contender_may_be_trained_with_fewer_seeds(config: Path) -> None:
    config.write_text(CONFIG + "seeds = [7]\n")
    assert [run.name for run in read_config(Study, config).runs() if run.contender == "lstm"] == ["lstm-seed7"]
    assert len(read_config(Study, config).runs()) == 7
    config.write_text(CONFIG + "seeds = [7, 8]\n")
    with pytest.raises(
        IPNetError, match=r"'lstm' must be trained with seeds of the study, \[0, 7\]; got \[7, 8\]"
    ):
        read_config(Study, config)


def test_settings_may_leave_out_contenders_and_seeds_that_have_tables(config: Path) -> None:
    config.write_text(CONFIG + "seeds = [7]\n")
    few = read_config(Study, config, ["contenders=['none', 'bank']"])
    assert [run.name for run in few.runs()] == ["none-seed0", "bank-seed0", "none-seed7", "bank-seed7"]
    assert [run.contender for run in read_config(Study, config, ["seeds=[7]"]).runs()][-1] == "lstm"
    first = read_config(Study, config, ["seeds=[0]"])
    assert first.contenders == ("none", "intrinsic@frontier", "bank")  # lstm has no seed left
    with pytest.raises(IPNetError, match="needs 'lstn' among the contenders"):
        read_config(Study, config, ["contenders=['none']", "contender.lstn.training.epochs=3"])


def test_two_contenders_never_share_a_folder(config: Path) -> None:
    config.write_text(
        CONFIG.replace('"bank"', '"intrinsic-at-frontier"').replace(".bank]", ".intrinsic-at-frontier]")
    )
    with pytest.raises(IPNetError, match="'intrinsic@frontier' and 'intrinsic-at-frontier' share one: rename one"):
        read_config(Study, config)


def test_contenders_are_the_list_and_contender_the_tables(config: Path) -> None:
    with pytest.raises(IPNetError, match=r"'contender' must hold a table.*the list of all is 'contenders'"):
        read_config(Study, config, ["contender=['lstm']"])


def test_an_unknown_option_is_refused_when_the_network_is_built(config: Path) -> None:
    with pytest.raises(IPNetError, match="unknown option of memory 'lstm' 'sise'"):
        build_network(_run(config, "lstm", "contender.lstm.memory.sise=3"), SHAPE, OUTPUTS)


def test_committed_results_have_the_configuration_that_they_had() -> None:
    results = read_results(RESULTS)
    assert results
    for result in results:
        assert Run.model_validate(result.config).model_dump(mode="json") == result.config


def _result(run: Run, right: list[bool]) -> Result:
    """A made-up result of a run."""
    result = fabricate(run.stands_for or run.contender, right, seed=run.seed, classes=20)
    return result.model_copy(update={"run": run.name, "config": run.model_dump(mode="json")})


def test_contenders_of_one_study_are_compared_whatever_their_tables_change(config: Path) -> None:
    runs = read_config(Study, config).runs()
    found = comparisons([_result(run, right_but(40)) for run in runs])
    assert [sorted(each.standings) for each in found] == [["bank", "intrinsic@frontier", "lstm", "none"]]
    assert found[0].memories["bank"] == "intrinsic"
    assert found[0].standings["bank"].is_intrinsic


@pytest.mark.parametrize("setting", ["training.epochs=3", "training.zoom=0.2", "memory.intrinsic.devices=2"])
def test_what_no_table_changes_must_be_the_same(setting: str, config: Path) -> None:
    runs = [_run(config, "bank"), _run(config, "lstm", setting)]
    assert len(comparisons([_result(run, right_but(40)) for run in runs])) == 2


def test_the_ledger_takes_contenders_by_their_memory_not_by_their_name(config: Path) -> None:
    text = CONFIG.replace('"none"', '"plain", "rnn", "conv2plus1d"').replace(
        "[contender.lstm]", "[contender.plain]"
    )
    text = text.replace('"lstm"', '"tuned"').replace("[contender.plain]", '[contender.plain]\nis = "none"')
    config.write_text(text + '[contender.tuned]\nis = "lstm"\n')
    runs = read_config(Study, config, ["seeds=[0]"]).runs()
    results = [_result(run, right_but(40, *range(9 * (run.memory_name != "intrinsic")))) for run in runs]
    row = next(row for row in ledger(results) if row.id == "same_backbone")
    assert "better than tuned" in row.reason
    assert comparisons(results)[0].of_memory("none").contender == "plain"  # type: ignore[union-attr]


@pytest.mark.parametrize("contender", ["none", "lstm", "convlstm", "conv2plus1d", "bank"])
@pytest.mark.parametrize("allowed", [3000, 20_000])
def test_matched_parameters_are_as_many_as_fit(contender: str, allowed: int, config: Path) -> None:
    config.write_text(CONFIG.replace("width = 8", f"parameters = {allowed}"))
    run = _run(config, contender)
    network = build_network(run, SHAPE, OUTPUTS)
    wider = run.backbone.model_dump() | {"width": network.width + 1}
    del wider["parameters"]
    options = run.memory.get(run.memory_name, {})
    next_size = Network(SHAPE, OUTPUTS, Backbone.model_validate(wider), run.memory_name, run.positions, **options)
    assert count_parameters(network) <= allowed < count_parameters(next_size)


def test_width_and_parameters_displace_each_other_in_a_table_only(config: Path) -> None:
    matched = _run(config, "lstm", "contender.lstm.backbone.parameters=9000")
    assert matched.instead_of["backbone"] == {"width": 8, "parameters": None}
    assert "width" not in matched.model_dump()["backbone"]
    assert "parameters" not in _run(config, "none").model_dump()["backbone"]
    with pytest.raises(IPNetError, match="got width 8 and parameters 9000: remove one"):
        read_config(Study, config, ["backbone.parameters=9000"])


def test_too_few_parameters_are_refused(config: Path) -> None:
    config.write_text(CONFIG.replace("width = 8", "parameters = 30"))
    with pytest.raises(IPNetError, match=r"'lstm' must fit into backbone.parameters = 30; it has \d+ at"):
        build_network(_run(config, "lstm"), SHAPE, OUTPUTS)


def test_the_weights_do_not_depend_on_how_the_width_was_found(config: Path) -> None:
    matched = build_network(_run(config, "lstm", "contender.lstm.backbone.parameters=9000"), SHAPE, OUTPUTS)
    given = build_network(_run(config, "lstm", f"contender.lstm.backbone.width={matched.width}"), SHAPE, OUTPUTS)
    for one, other in zip(matched.parameters(), given.parameters(), strict=True):
        assert one.equal(other)


def test_a_bare_network_needs_a_width() -> None:
    with pytest.raises(IPNetError, match="must be given its width"):
        Network(SHAPE, OUTPUTS, Backbone(parameters=9000), "none")
