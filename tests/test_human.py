"""The reference numbers of people: equal to their source, complete, and refused if damaged."""

import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from ipnet.errors import IPNetError
from ipnet.human import HumanReference, human_reference, read_reference
from ipnet.settings import toml_value

PEOPLE = human_reference()
TEXT = resources.files("ipnet").joinpath("human.toml").read_text("utf-8")


def as_published(people: HumanReference) -> dict[str, dict[str, Any]]:
    """Our numbers under the names of the source."""
    recall = {
        f"fr{name}": {
            "n_lists": found.n_lists,
            "mean_recalled": found.mean_recalled,
            "spc": found.spc,
            "se_subj": found.se,
            "pfr": found.pfr,
        }
        for name, found in people.free_recall.conditions.items()
    }
    back, retro, pro, spoken = (
        people.n_back,
        people.retroactive_interference,
        people.proactive_interference,
        people.distractors,
    )
    return {
        "free_recall_murdock_1962": recall,
        "brown_peterson_murdock_1961": {"t_s": people.brown_peterson.t_s, "p": people.brown_peterson.p},
        "nback_oberauer_2006": {
            "N": back.subjects,
            "n": back.n,
            "all_sessions": back.all_sessions,
            "session1": back.session1,
            "session1_se": back.session1_se,
            "session1_hit": back.session1_hits,
            "session1_FA_nonlure": back.session1_false_alarms,
        },
        "retroactive_interference_riefer_batchelder_1988": {
            "interpolated_lists": retro.interpolated_lists,
            "p_pair_words": retro.pair_words,
            "p_singletons": retro.singletons,
            "p_all": retro.all_words,
            "n_pairs": retro.n_pairs,
            "n_singletons": retro.n_singletons,
        },
        "proactive_interference_dapolito_1966": {
            "AB_presentations": pro.ab_presentations,
            "test1": pro.test1.model_dump(),
            "test2": pro.test2.model_dump(),
            "N_per_cell": pro.n_per_cell,
        },
        "distractors_lewandowsky_2010": {
            "quiet": spoken.quiet,
            "1_distractor": spoken.one,
            "3_identical": spoken.three_identical,
            "3_different": spoken.three_different,
        },
    }


@pytest.mark.data
def test_every_number_is_that_of_the_source(data_root: Path) -> None:
    path = data_root / "human" / "human_memory.json"
    if not path.exists():
        pytest.skip(f"needs {path}")
    source = json.loads(path.read_text("utf-8"))
    citations = {name: table.pop("citation") for name, table in source.items()}
    assert json.loads(json.dumps(as_published(PEOPLE))) == source
    studies = (getattr(PEOPLE, name) for name in HumanReference.model_fields)
    for study, citation in zip(studies, citations.values(), strict=True):
        author, year = re.match(r"(\w+),.*?\((\d{4})\)", citation).groups()  # type: ignore[union-attr]
        assert author in study.citation
        assert year in study.citation


def test_every_study_says_what_its_numbers_are() -> None:
    for name in HumanReference.model_fields:
        study = getattr(PEOPLE, name)
        assert min(len(study.citation), len(study.origin), len(study.measure)) > 10


def test_conditions_are_named_by_length_and_pace() -> None:
    conditions = PEOPLE.free_recall.conditions
    assert list(conditions) == ["10-2", "20-2", "20-1"]
    assert all(name == f"{found.items}-{found.seconds_per_item:g}" for name, found in conditions.items())


def test_all_words_are_pairs_and_singletons() -> None:
    found = PEOPLE.retroactive_interference
    words = 2 * found.n_pairs + found.n_singletons
    for pair, single, both in zip(found.pair_words, found.singletons, found.all_words, strict=True):
        assert (2 * found.n_pairs * pair + found.n_singletons * single) / words == pytest.approx(both, abs=1e-3)


def test_it_is_read_once_and_cannot_be_changed() -> None:
    assert human_reference() is PEOPLE
    with pytest.raises(ValueError, match="frozen"):
        PEOPLE.n_back.subjects = 9  # type: ignore[misc]


def write(path: Path, *keys: str, value: object) -> Path:
    """The shipped file with one value changed, removed (None) or added."""
    content = tomllib.loads(TEXT)
    table = content
    for key in keys[:-1]:
        table = table[key]
    if value is None:
        del table[keys[-1]]
    else:
        table[keys[-1]] = value
    path.write_text("\n".join(f"{name} = {toml_value(entry)}" for name, entry in content.items()), "utf-8")
    return path


SPC = "free_recall", "conditions", "10-2", "spc"


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (
            SPC,
            [0.5] * 9,
            "'free_recall.conditions.10-2.spc' must have 10 values, as many as 'items' says, and has 9",
        ),
        (SPC, [0.5] * 10, "spc' must add up to mean_recalled, 6.3913, and adds up to 5.0000"),
        ((*SPC[:-1], "pfr"), [0.2] * 10, "pfr' must add up to 1 at most and adds up to 2.0000"),
        ((*SPC[:-1], "n_lists"), 0, "n_lists' must be greater than or equal to 1; got 0"),
        (("brown_peterson", "p"), [0.5], "must have 6 values, as many as 't_s' says, and has 1"),
        (
            ("brown_peterson", "p"),
            [1.01] + [0.5] * 5,
            "'brown_peterson.p.0' must be less than or equal to 1; got 1.01",
        ),
        (("n_back", "session1_hits"), [0.5, 0.5], "must have 5 values, as many as 'n' says, and has 2"),
        (("proactive_interference", "test2", "C"), [0.5], "test2' must have 3 values of B and of C"),
        (("distractors", "quiet"), -0.1, "'distractors.quiet' must be greater than or equal to 0; got -0.1"),
        (("n_back", "citation"), None, "'n_back.citation' is missing; add it"),
        (("n_back", "sesion1"), [1], "unknown key 'n_back.sesion1'; did you mean 'n_back.session1'"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(
    tmp_path: Path, keys: tuple[str, ...], value: object, message: str
) -> None:
    path = write(tmp_path / "mine.toml", *keys, value=value)
    with pytest.raises(IPNetError) as error:
        read_reference(path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"reference '{path}': ")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    assert read_reference(write(tmp_path / "same.toml", "n_back", "subjects", value=8)) == PEOPLE
    (tmp_path / "bad.toml").write_text(TEXT[:-1] + "x", "utf-8")
    with pytest.raises(IPNetError, match=r"bad.toml' is not valid TOML"):
        read_reference(tmp_path / "bad.toml")
    with pytest.raises(IPNetError, match=r"reference '.*gone.toml' cannot be read"):
        read_reference(tmp_path / "gone.toml")
