import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from ipnet.bill import Accounting, bill_of, difference
from ipnet.claims import ledger
from ipnet.config import Study, read_config
from ipnet.cost import cost_of, without_memory
from ipnet.cost_report import CostReport, read_costs
from ipnet.counting import count_operations
from ipnet.errors import IPNetError
from ipnet.network import build_network
from ipnet.prices import read_prices, shipped_prices
from ipnet.tasks import build_task
from tiny import write_tiny_study

CONTENDERS = '["none", "intrinsic", "lstm", "conv3d", "leaky", "convlstm"]'


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_config(Study, write_tiny_study(tmp_path_factory.mktemp("tiny"), contenders=CONTENDERS))


@pytest.fixture(scope="module")
def found(study: Study) -> CostReport:
    return cost_of(study, study.contenders, Accounting(), shipped_prices(), runs=Path("nowhere"))


def test_every_figure_comes_out_again_by_hand_from_the_written_file(found: CostReport) -> None:
    written: dict[str, Any] = json.loads(found.model_dump_json())
    prices, by_name = written["prices"], {one["contender"]: one for one in written["contenders"]}
    for one in by_name.values():
        for bill, energy in (("bill", "energy"), ("memory_bill", "memory_energy")):
            by_hand = sum(quantity * prices[name] for name, quantity in one[bill].items())
            assert by_hand == pytest.approx(one[energy]["value"], rel=1e-12)
            assert one[energy]["low"] <= by_hand <= one[energy]["high"]
    assert {row["of"] for row in written["ratios"]} == {"lstm", "conv3d", "leaky", "convlstm"}
    for row in written["ratios"]:
        above, below = (by_name[row[key]]["memory_energy"]["value"] for key in ("of", "over"))
        assert row["ratio"]["value"] == pytest.approx(above / below)
        assert row["ratio"]["low"] < above / below < row["ratio"]["high"]
        spans = [abs(high - low) for _, low, high in row["moves"]]
        assert spans == sorted(spans, reverse=True)


def test_a_bill_follows_from_the_operations_of_the_layers(study: Study, found: CostReport) -> None:
    lstm = next(one for one in found.contenders if one.contender == "lstm")
    taken = lstm.operations
    products = taken["macs"]
    assert lstm.bill["add_int32"] == products
    assert lstm.bill["mul_int8"] == products + taken["muls"]
    assert lstm.bill["add_int8"] == taken["adds"] + taken["compares"]
    assert lstm.bill["function"] == taken["functions"]
    bits = 8 * sum(taken[key] for key in ("weight_reads", "reads", "writes", "state_reads", "state_writes"))
    assert sum(quantity for name, quantity in lstm.bill.items() if name.startswith("sram")) == bits
    assert sum(layer.get("macs", 0) for layer in lstm.layers.values()) == products


def test_a_memory_is_what_would_vanish_without_it(study: Study, found: CostReport) -> None:
    by_name = {one.contender: one for one in found.contenders}
    assert by_name["none"].memory_bill == {}
    assert by_name["none"].memory_energy.value == 0
    width = 3  # of the backbone; one stage follows the stem
    assert by_name["lstm"].memory_operations["macs"] == 8 * width**2 * found.frames
    junctions = by_name["intrinsic"].memory_operations
    pixels = 2 * 34 * 34
    assert junctions["junctions"] == pixels
    assert junctions["probes"] == junctions["senses"] == pixels * found.frames
    assert "macs" not in junctions
    assert set(by_name["intrinsic"].memory_bill) == {
        *("pulse", "access_resistance", "line_capacitance", "driver", "sense")
    }
    assert by_name["leaky"].memory_operations["state"] == pixels


def test_the_backbone_without_the_memory_has_its_weights(study: Study) -> None:
    task, run = build_task(study.task, study.data), study.run("lstm", 0)
    network = build_network(run, task.shape[1:], len(task.outputs))
    bare = without_memory(network, run.backbone, task)
    weights = network.state_dict()
    assert set(bare.state_dict()) == {key for key in weights if not key.startswith("memories")}
    assert all(torch.equal(value, weights[key]) for key, value in bare.state_dict().items())
    wide = build_network(study.run("intrinsic", 0), task.shape[1:], len(task.outputs))
    wide.parts["stem"] = torch.nn.Identity()  # as a bank's, which has more channels: nothing of it fits
    stems = []
    for _ in range(2):
        torch.rand(1)  # whatever was drawn before
        stems.append(without_memory(wide, run.backbone, task).parts["stem"].state_dict())
    assert all(torch.equal(stems[0][key], stems[1][key]) for key in stems[0])
    clip = torch.rand(4, 1, *task.shape[1:])
    bills = [bill_of(count_operations(one, clip), 4, Accounting()) for one in (network, bare)]
    assert all(quantity > 0 for quantity in difference(*bills).values())


def test_a_dearer_price_moves_what_takes_it_and_nothing_else(
    study: Study, found: CostReport, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[price]\nsense = { value = 1, unit = "pJ", scope = "circuit", source = "mine", range = [0.5, 2] }\n'
    )
    dear = cost_of(study, ["intrinsic", "lstm"], Accounting(), read_prices(path), runs=Path("nowhere"))
    before, after = ({one.contender: one for one in of.contenders} for of in (found, dear))
    reads = before["intrinsic"].memory_bill["sense"]
    more = after["intrinsic"].memory_energy.value - before["intrinsic"].memory_energy.value
    assert more == pytest.approx(reads * (1e-12 - 126e-15))
    assert after["lstm"].memory_energy == before["lstm"].memory_energy
    assert dear.prices["sense"] == pytest.approx(1e-12)


def test_what_cannot_be_counted_is_refused(study: Study) -> None:
    with pytest.raises(IPNetError, match=r"unknown contender 'lstn'; did you mean 'lstm'\?"):
        cost_of(study, ["lstn"], Accounting(), shipped_prices(), runs=Path("nowhere"))
    with pytest.raises(IPNetError, match=r"the clips must be 1 to \d+, as many as there are to validate; got 999"):
        cost_of(study, ["lstm"], Accounting(), shipped_prices(), runs=Path("nowhere"), clips=999)


def test_the_command_writes_prints_and_makes_claims(
    ipnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    path = write_tiny_study(tmp_path, contenders=CONTENDERS)
    words = "cost", path, "--clips", 1, "-o", "found"
    monkeypatch.setattr("sys.argv", ["ipnet", *map(str, words)])
    code, out, err = ipnet(*words)
    assert (code, err) == (0, "")
    for word in ("recorded clips", "95 %", "moved most by", "2,874 times", "um2 at 28 nm", "lstm*"):
        assert word in " ".join(out.split())
    (written,) = read_costs(tmp_path / "found")
    assert shlex.split(written.command) == ["ipnet", *map(str, words)]
    assert (tmp_path / "found" / "cost-tiny.png").stat().st_size > 10_000
    rows = {row.id: row for row in ledger([], (), (), [written])}
    for claim, memory in (("energy_lstm", "lstm"), ("energy_3d", "conv3d")):
        assert rows[claim].verdict == "differs"
        assert f"({memory} over intrinsic)" in rows[claim].ours
    assert rows["area"].verdict == "differs"
    assert "5.55 [" in rows["area"].ours
    code, out, _ = ipnet("claims", "found", "--json")
    assert code == 0
    assert {row["id"]: row["verdict"] for row in json.loads(out)}["energy_lstm"] == "differs"
    assert ipnet("report", "found")[0] == 0


def test_the_command_takes_another_accounting_pace_and_weights(ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = write_tiny_study(tmp_path, contenders='["none", "intrinsic"]', epochs=1)
    assert ipnet("study", path, "-o", tmp_path / "runs")[0] == 0
    code, out, _ = ipnet(
        *("cost", path, "--contenders", "intrinsic", "--runs", tmp_path / "runs", "-o", tmp_path, "--json"),
        *("--accounting", "precision=fp32", "--accounting", "sparse=true", "--frames-per-second", 1000),
        "--neurobench",
    )
    assert code == 0
    found = json.loads(out)
    (one,) = found["contenders"]
    assert one["trained"] is True
    assert found["frame_interval"] == 1e-3
    made = one["neurobench"]["SynapticOperations"]
    assert made["Dense"] == one["operations"]["dense"]
    assert 0 < made["Effective_MACs"] + made["Effective_ACs"] <= made["Dense"]
    assert one["neurobench"]["ModelExecutionRate"] == 1000
    assert found["accounting"] == Accounting(precision="fp32", sparse=True).model_dump(mode="json")
    assert one["bill"]["add_fp32"] == pytest.approx(
        one["operations"]["effective_macs"]
        + one["operations"].get("effective_acs", 0)
        + one["operations"]["adds"]
        + one["operations"]["compares"]
    )
    rows = {row.id: row for row in ledger([], (), (), read_costs(tmp_path))}
    assert rows["area"].verdict == "not attempted"  # the claims are judged by one accounting


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--accounting", "precision=int4"),
            "accounting: 'precision' must be 'int8', 'fp16' or 'fp32'; got 'int4'",
        ),
        (("--accounting", "precisoin=int8"), "unknown key 'precisoin'; did you mean 'precision'?"),
        (("--frames-per-second", 0), "--frames-per-second must be positive; got 0"),
        (("--prices", "nowhere.toml"), "price list 'nowhere.toml' cannot be read"),
    ],
)
def test_the_command_refuses(ipnet, words: tuple[object, ...], message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = ipnet("cost", write_tiny_study(tmp_path), *words, "-o", tmp_path)
    assert (code, out) == (2, "")
    assert message in err


def test_claims_take_recordings_first_and_say_when_a_ratio_comes_out(found: CostReport) -> None:
    ratio = found.ratios[0]
    met = ratio.model_copy(update={"ratio": ratio.ratio.model_copy(update={"value": 2874.0, "high": 3000.0})})
    real, simulated = (
        found.model_copy(update={"real": kind, "ratios": rows})
        for kind, rows in ((True, found.ratios), (False, [met]))
    )

    def verdict(*reports: CostReport) -> str:
        return next(row for row in ledger([], (), (), reports) if row.id == "energy_lstm").verdict

    assert verdict(simulated) == "supported on simulated data"
    assert verdict(simulated, real) == "differs"
    assert verdict(real.model_copy(update={"real": True, "ratios": [met]})) == "supported on simulated data"


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "cost-broken.json").write_text('{"study": 3}', "utf-8")
    with pytest.raises(IPNetError, match=r"costs '.*cost-broken.json'"):
        read_costs(tmp_path)
