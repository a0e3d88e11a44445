"""The report: whole, self-contained, escaped, and the same for the same results."""

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from conftest import Command
from fabricated import fabricate, fabricate_battery, fabricate_bench, right_but, write_battery, write_runs
from ipnet.errors import IPNetError
from ipnet.figures import Trace, colours, lines, markers, read_trace
from ipnet.report import write_report
from ipnet.results import RESULT_FILE, Result
from ipnet.train import TRACE_FILE

CONTENDERS = ("none", "intrinsic@frontier", "intrinsic@stem", "rnn", "lstm", "conv2plus1d")
N = 24


def study(**facts: object) -> list[Result]:
    rights = {"none": [i % 2 == 0 for i in range(N)], "rnn": right_but(N, 1, 2, 3)}
    return [
        fabricate(name, rights.get(name, right_but(N, seed)), seed=seed, reverse_time=True, **facts)  # type: ignore[arg-type]
        for name in CONTENDERS
        for seed in (0, 1)
    ]


class _Page(HTMLParser):
    """Tags that are open, cells by table, and every address a browser would fetch."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: Counter[str] = Counter()
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key in ("src", "srcset", "data") or (key == "href" and tag == "link"):
                self.fetched.append(value or "")
            elif key == "href":
                self.links.append(value or "")
            elif key == "id":
                self.ids[value or ""] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report") / "runs"
    write_runs(place, study(title="A made-up study"))
    simulated = study(study="second", real=False, data="simulated_gesture")
    return write_runs(place, [result for result in simulated if result.contender in CONTENDERS[:2]])


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return write_report(folder, folder.parent / "deep" / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> _Page:
    return _Page(html)


def test_the_page_is_well_formed_and_every_link_has_its_target(page: _Page) -> None:
    assert page.open == []
    assert set(page.ids.values()) == {1}
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert inner
    assert inner <= set(page.ids)


def test_the_page_fetches_nothing(page: _Page, html: str) -> None:
    assert page.fetched
    assert all(address.startswith("data:image/") for address in page.fetched)
    assert "@import" not in html
    assert "url(" not in html
    assert "<script" not in html
    outward = {link for link in page.links if not link.startswith("#")}
    assert outward == {"https://arxiv.org/abs/2512.15829"}
    assert len(html) < 2_500_000


def test_every_contender_study_and_claim_is_there(page: _Page, html: str) -> None:
    for name in CONTENDERS:
        assert html.count(f'<th scope="row">{name}<') == 3 * (
            2 if name in CONTENDERS[:2] else 1
        )  # three tables for each study
    assert {"study-1", "study-2", "claims", "provenance", "reproduce"} <= set(page.ids)
    assert sum(name.startswith("claim-") for name in page.ids) == 15
    for words in (
        "A made-up study",
        "recorded data",
        "simulated data",
        "replay compression",
        "mtj-thermal",
        "tau_th",
    ):
        assert words in page.words
    assert "90,909×" in page.words  # 20 ms of camera in 220 ns of device
    assert html.count('<table class="matrix">') == len(CONTENDERS) + 2


def test_every_number_has_its_provenance(page: _Page) -> None:
    for run in ("intrinsic-at-frontier-seed0", "none-seed1"):
        assert f"made-up/{run}/{RESULT_FILE}" in page.words
    for words in ("2026-01-02T03:04:05+00:00", "abacus", "mtj-ipnet 0", "nmnist-6", "1 min 15 s"):
        assert words in page.words
    assert "ipnet study made-up.toml" in page.words


def test_what_a_contender_has_of_its_own_is_listed_once(tmp_path: Path) -> None:
    bank = [{"t_cycle": 7e-07}, {"t_cycle": 4e-06}]
    own = {
        "memory": {"intrinsic": {"card": "mtj-thermal", "bank": bank}},
        "training": {"learning_rate": 0.004},
        "backbone": {"width": 9},
    }
    instead_of = {
        "memory": {"intrinsic": {"bank": None}},
        "training": {"learning_rate": 0.002},
        "backbone": {"width": 16},
    }
    results = []
    for seed in (0, 1):
        plain = fabricate("intrinsic@frontier", right_but(N), seed=seed)
        tables = {key: plain.config[key] | own[key] for key in own}
        names = {"contender": "bank", "stands_for": "intrinsic@frontier"}
        config = plain.config | tables | names | {"instead_of": instead_of}
        results += [plain.model_copy(update={"config": config}), fabricate("lstm", right_but(N), seed=seed)]
    text = write_report(write_runs(tmp_path / "runs", results), tmp_path / "r.html").read_text("utf-8")
    words = _Page(text).words
    assert words.count("of made-up: ") == 1
    assert 'bank of made-up: is = "intrinsic@frontier", ' in words
    for value in (
        "memory.intrinsic.bank = [{ t_cycle = 7e-07 }, { t_cycle = 4e-06 }]",
        "training.learning_rate = 0.004",
        "backbone.width = 9",
    ):
        assert words.count(value) == 1
    assert "mtj-thermal" not in words.partition("of made-up: ")[2].partition("One line per run")[0]


def test_equal_results_give_an_equal_page(tmp_path: Path) -> None:
    results = [fabricate(name, right_but(N)) for name in ("intrinsic@frontier", "none")]
    pages = [
        write_report(write_runs(tmp_path / place / "runs", order), tmp_path / place / "report.html").read_bytes()
        for place, order in (("here", results), ("there", results[::-1]))
    ]
    assert pages[0] == pages[1]


def test_names_are_escaped(tmp_path: Path) -> None:
    title = "<script>alert('heat')</script> & more"
    result = fabricate("none", right_but(N), title=title)
    result = result.model_copy(update={"outputs": ["<b>a</b>", "b", "c"]})
    text = write_report(write_runs(tmp_path / "runs", [result]), tmp_path / "r.html").read_text("utf-8")
    assert "<script" not in text
    assert "<b>a</b>" not in text
    assert title in _Page(text).words


@pytest.mark.parametrize(
    "results",
    [
        [fabricate("lstm", right_but(N))],
        [fabricate("intrinsic", right_but(N), positions=["frontier"])],
        [fabricate(name, right_but(N), card="gone.toml") for name in ("intrinsic@stem", "none")],
        [fabricate("rnn", right_but(90), classes=45)],
    ],
    ids=["no intrinsic memory", "no trace", "no card", "too many classes for a matrix"],
)
def test_what_is_missing_is_left_out(tmp_path: Path, results: list[Result]) -> None:
    folder = write_runs(tmp_path / "runs", results, traces=False)
    page = _Page(write_report(folder, tmp_path / "report.html").read_text("utf-8"))
    assert page.open == []
    assert "What the memory looks like" not in page.words
    assert len(page.fetched) == 2


def test_a_trace_is_shown(folder: Path, page: _Page) -> None:
    assert page.words.count("What the memory looks like") == 2
    assert len(page.fetched) == 7  # with two positions of the first study
    assert "Clip a clip" in page.words


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    folder = write_runs(tmp_path / "runs", [fabricate("none", right_but(N)), fabricate("rnn", right_but(N))])
    damaged = folder / "made-up" / "rnn-seed0" / RESULT_FILE
    damaged.write_bytes(damaged.read_bytes()[:500])
    with pytest.raises(IPNetError, match=re.escape(str(damaged))):
        write_report(folder, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=re.escape(str(tmp_path))):
        write_report(tmp_path, tmp_path / "report.html")


@pytest.mark.parametrize("damage", ["cut", "text", "shape", "key"])
def test_a_damaged_trace_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / TRACE_FILE
    frames = np.zeros((3, 2, 4, 5), "f2")
    np.savez(path, frames=frames, state=frames[:, :, 1:] if damage == "shape" else frames, item=np.array("a"))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "text":
        path.write_text("not an archive")
    elif damage == "key":
        np.savez(path, frames=frames)
    with pytest.raises(IPNetError, match=re.escape(str(path))):
        read_trace(path)


def test_pixels_of_a_trace_are_driven_early_midway_and_late() -> None:
    rise = np.zeros((6, 9, 11))
    rise[0, 1, 1], rise[3, 4, 5], rise[5, 8, 10] = 5, 6, 7
    assert Trace(np.zeros((6, 2, 9, 11)), rise, "a").pixels == [(1, 1), (4, 5), (8, 10)]
    assert len(Trace(np.zeros((1, 2, 1, 1)), np.zeros((1, 1, 1)), "a").pixels) == 3


MANY = (
    *("none", "rnn", "gru", "lstm", "convlstm", "lif", "leaky", "ssm", "conv2plus1d", "conv3d"),
    *(f"intrinsic@{position}" for position in ("frontier", "stem", "stage1", "head", "frontier+head")),
)


def test_fifteen_contenders_are_told_apart_by_colour_and_without_it() -> None:
    colour = colours({name: name.partition("@")[0] for name in MANY})
    marker, line = markers(MANY), lines(MANY)
    assert len(set(colour.values())) == len(MANY)
    assert len({(marker[name], line[name]) for name in MANY}) == len(MANY)
    assert colour["none"] == "#6b7280"


def test_subjects_and_the_better_position_are_in_the_report(tmp_path: Path) -> None:
    subjects = ["subject01", "subject02"]
    made = [
        fabricate("intrinsic@frontier", right_but(N), groups=subjects),
        fabricate("intrinsic@head", right_but(N, *range(0, N, 2)), groups=subjects),
    ]
    page = _Page(write_report(write_runs(tmp_path / "runs", made), tmp_path / "r.html").read_text("utf-8"))
    assert "Accuracy of each subject" in page.words
    assert "the frontier is first (number 1 of 2 by accuracy)" in page.words


def test_batteries_are_a_report_without_any_run(tmp_path: Path) -> None:
    write_battery(tmp_path, fabricate_battery("leaky", verdicts=("holds", "fails", "undecided")))
    one = _Page(write_report(tmp_path, tmp_path / "one.html").read_text("utf-8"))
    assert len(one.fetched) == 1  # with one battery, no cards to compare
    write_battery(tmp_path, fabricate_battery(subjects=60))
    text = write_report(tmp_path, tmp_path / "report.html").read_text("utf-8")
    page = _Page(text)
    assert page.open == []
    assert set(page.ids.values()) == {1}
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert all(address.startswith("data:image/svg") for address in page.fetched)
    assert len(page.fetched) == 3
    assert "provenance" not in page.ids
    for words in (
        "Memory tasks performed by leaky",
        "SIMULATED n = 60 simulated people in each condition · 2 trials each · seed 3",
        "free choices fixed on free recall 20-1",
        "layout.junctions = 112",
        "0.010 [0.009, 0.020]",
        "0.100 [0.000, 0.200] undecided",
        "The card shows 1 of 3 trends of people",
        "ipnet tasks battery --card leaky --subjects 50 --trials 2 --seed 3",
    ):
        assert words in page.words
    assert page.words.count("supported on simulated data") == 1  # n-back, by the card of the paper
    assert text == write_report(tmp_path, tmp_path / "again.html").read_text("utf-8")


def test_batteries_stand_beside_runs(ipnet: Command, tmp_path: Path) -> None:
    write_runs(tmp_path, [fabricate("none", right_but(N))])
    write_battery(tmp_path, fabricate_battery())
    code, out, err = ipnet("report", tmp_path, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [study["study"] for study in found["studies"]] == ["made-up"]
    assert [battery["card"] for battery in found["batteries"]] == ["mtj-thermal"]
    page = _Page((tmp_path / "report.html").read_text("utf-8"))
    assert {"study-1", "memory", "memory-1", "claims", "provenance"} <= set(page.ids)
    table = (tmp_path / "table.txt").read_text("utf-8")
    assert "Human memory tasks performed by mtj-thermal" in table
    assert "SIMULATED, n = 50 with 2 trials each, seed 3" in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_run_on_a_bench_is_a_report(ipnet: Command, tmp_path: Path) -> None:
    run = fabricate_bench()
    (tmp_path / "hil.json").write_text(run.model_dump_json(), "utf-8")
    code, out, err = ipnet("report", tmp_path, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["benches"][0]["accuracy"]["successes"] == 30
    page = _Page((tmp_path / "report.html").read_text("utf-8"))
    assert page.open == []
    assert {"bench-1", "claims"} <= set(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.fetched) == 1
    for words in (
        "SIMULATED junctions of the virtual laboratory",
        "right on 30 of 40 clips",
        "but not where the same network in software foresees it",
        "Junction 5: it does not switch.",
        "ipnet hil demo",
    ):
        assert words in page.words
    table = (tmp_path / "table.txt").read_text("utf-8")
    assert "chip, SIMULATED" in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_folder_with_nothing_names_the_commands(ipnet: Command, tmp_path: Path) -> None:
    code, _, err = ipnet("report", tmp_path)
    assert code == 2
    assert err.count("\n") == 1
    assert "run `ipnet study`, `ipnet tasks battery`, `ipnet cost` or `ipnet hil` first" in err
