from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest

from headwater.errors import InvalidInputError
from headwater.evaluate import check_leakage, evaluate_model, leaking, make_split
from headwater.evaluate.leaking import leakage_checks
from headwater.evaluate.near import alike_texts, nearly_in, row_keys
from headwater.lake import add_table, put_table, resolve, scan
from headwater.lake.versions import commit
from headwater.project import LocalProject, Project
from tests.evaluate.measured import register_forest
from tests.model.delays import flights


def departures(rows: int = 2000, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return flights(seed, rows).assign(
        tail=random.integers(0, 200, rows).astype(str),
        at=pandas.Timestamp("2026-01-01") + pandas.to_timedelta(np.arange(rows), unit="h"),
    )


def add(project: Project, name: str, frame: Any) -> str:
    return add_table(project, name, "rows.parquet", frame).ref


def part(project: Project, ref: str, name: str) -> Any:
    return scan(project, ref, prefix=name).to_pandas()


def by_check(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in body["checks"]}


def test_a_random_split_holds_every_row_once_in_about_its_shares(project: Project) -> None:
    source = add(project, "flights", departures())

    made = make_split(project, "parts", source)

    rows = pandas.concat([part(project, made.ref, name) for name in made.parts])
    assert made.published
    assert sum(made.parts.values()) == 2000
    assert made.parts["train"] == pytest.approx(1400, abs=75)  # more than 3 standard errors of 20 rows
    assert sorted(rows["at"]) == sorted(departures()["at"])
    assert made.leakage.body["passed"]
    assert made.leakage.subject == f"version:{made.version}"
    assert resolve(project, "parts@main").id == made.version


def test_a_row_keeps_its_side_when_the_data_grow_and_are_split_again(sqlite_project: LocalProject) -> None:
    first = make_split(sqlite_project, "parts", add(sqlite_project, "flights", departures(1000)))
    grown = pandas.concat([departures(1000), departures(500, seed=5).assign(at=pandas.Timestamp("2027-01-01"))])
    second = make_split(sqlite_project, "parts", add(sqlite_project, "flights", grown))

    for name in first.parts:
        before, after = part(sqlite_project, first.ref, name), part(sqlite_project, second.ref, name)
        assert set(before["at"]) <= set(after["at"]), name
    assert sum(second.parts.values()) == 1500


def test_a_split_by_group_keeps_each_group_on_one_side(sqlite_project: LocalProject) -> None:
    made = make_split(sqlite_project, "parts", add(sqlite_project, "flights", departures()), by="group", column="tail")

    sides = [set(part(sqlite_project, made.ref, name)["tail"]) for name in made.parts]
    assert not sides[0] & sides[1]
    assert not (sides[0] | sides[1]) & sides[2]
    assert by_check(made.leakage.body)["group tail"]["passed"]


def test_a_split_by_time_keeps_its_cuts_from_version_to_version(sqlite_project: LocalProject) -> None:
    frame = departures()
    source = add(sqlite_project, "flights", frame)
    made = make_split(sqlite_project, "parts", source, by="time", column="at", shares={"train": 0.8, "test": 0.2})

    assert made.parts == {"train": 1599, "test": 401}  # the cut is a time that is there, and begins the later part
    assert part(sqlite_project, made.ref, "train")["at"].max() < part(sqlite_project, made.ref, "test")["at"].min()
    assert by_check(made.leakage.body)["time at"]["passed"]

    later = pandas.concat([frame, frame.assign(at=frame["at"] + pandas.Timedelta(days=200))])
    again = make_split(
        sqlite_project, "parts", add(sqlite_project, "flights", later), by="time", column="at",
        shares={"train": 0.8, "test": 0.2},
    )  # fmt: skip
    assert again.recipe.cuts == made.recipe.cuts
    assert again.parts == {"train": 1599, "test": 2401}


def test_the_same_split_made_twice_is_the_same_bytes_and_another_salt_another_split(
    sqlite_project: LocalProject,
) -> None:
    source = add(sqlite_project, "flights", departures(300))

    first = make_split(sqlite_project, "parts", source)
    second = make_split(sqlite_project, "parts", source)
    other = make_split(sqlite_project, "parts", source, salt="b")

    assert second.version == first.version
    assert other.version != first.version
    assert resolve(sqlite_project, first.version).inputs == (resolve(sqlite_project, source).id,)


def test_a_part_of_a_split_is_what_a_model_is_measured_on(sqlite_project: LocalProject) -> None:
    register_forest(sqlite_project, 10)
    made = make_split(sqlite_project, "parts", add(sqlite_project, "flights", departures()))

    body = evaluate_model(sqlite_project, "delay@v1", made.ref, "late", part="test", resamples=20).body

    assert body["rows"] == made.parts["test"]
    assert body["window"] == "parts@v1 test"


def planted(project: LocalProject, **parts: Any) -> dict[str, Any]:
    """Return the checks of parts that were put together by hand."""
    version = commit(project, "hand", put=[put_table(project, name, frame) for name, frame in parts.items()])
    return check_leakage(project, version.ref, group="tail", time="at").body


def test_each_planted_leak_is_found_by_its_own_check(sqlite_project: LocalProject) -> None:
    frame = departures()
    cut = frame["at"].iloc[1500]
    groups = frame["tail"].astype(int) < 150
    train, test = frame[(frame["at"] < cut) & groups], frame[(frame["at"] >= cut) & ~groups]

    clean = by_check(planted(sqlite_project, train=train, test=test))
    equal = by_check(planted(sqlite_project, train=train, test=pandas.concat([test, train[:7]])))
    nudged = train[:60].assign(at=lambda f: f["at"] + pandas.Timedelta(days=300))
    near = by_check(planted(sqlite_project, train=train, test=pandas.concat([test, nudged])))
    future = by_check(planted(sqlite_project, train=pandas.concat([train, test[-5:].assign(temp=1.0)]), test=test[:-5]))

    assert all(each["passed"] for each in clean.values())
    assert not equal["equal rows"]["passed"]
    assert equal["equal rows"]["found"] == 7
    assert equal["equal rows"]["sample"][0]["part"] == "test"
    assert near["equal rows"]["passed"]
    assert not near["near-duplicates"]["passed"]
    assert near["near-duplicates"]["found"] >= 60
    assert not near["group tail"]["passed"]
    assert not future["time at"]["passed"]


def test_texts_that_nearly_repeat_one_another_are_a_leak(sqlite_project: LocalProject) -> None:
    random = np.random.default_rng(0)
    words = np.array([f"word{k}" for k in range(400)])
    reviews = [" ".join(random.choice(words, 40)) for _ in range(300)]
    copied = [text.replace(" ", "  ", 2).upper() + "!" for text in reviews[:20]]
    train = pandas.DataFrame({"review": reviews[:200], "stars": 1.0})
    good = pandas.DataFrame({"review": reviews[200:], "stars": 2.0})

    clean = commit(
        sqlite_project, "a", put=[put_table(sqlite_project, "train", train), put_table(sqlite_project, "test", good)]
    )
    bad = pandas.concat([good, pandas.DataFrame({"review": copied, "stars": 2.0})])
    leaky = commit(
        sqlite_project, "b", put=[put_table(sqlite_project, "train", train), put_table(sqlite_project, "test", bad)]
    )

    assert check_leakage(sqlite_project, clean.ref).body["passed"]
    found = by_check(check_leakage(sqlite_project, leaky.ref).body)["near-duplicates of review"]
    assert (found["passed"], found["found"]) == (False, 20)


def texts(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    words = np.array([f"word{k}" for k in range(400)])
    return [" ".join(random.choice(words, 12)) for _ in range(count)]


def alike(train: list[Any], test: list[Any]) -> dict[str, Any]:
    """Return the check of a column of texts, beside one that differs in every row."""
    parts = {
        name: {"review": np.array(each, object), "row": np.arange(len(each)) + 1000.0 * place}
        for place, (name, each) in enumerate((("train", train), ("test", test)))
    }
    return by_check({"checks": leakage_checks(parts, ["review", "row"], group="", time="")})[
        "near-duplicates of review"
    ]


def test_texts_that_are_copied_word_for_word_beside_other_values_are_a_leak() -> None:
    reviews = texts(300)

    copied = alike(reviews[:200], [*reviews[200:], *reviews[:5]])
    whole = alike(reviews[:200], reviews[:50])

    assert (copied["passed"], copied["found"], copied["of"]) == (False, 5, 105)
    assert copied["sample"][0]["earlier"] == copied["sample"][0]["text"] == reviews[0]
    assert (whole["passed"], whole["found"]) == (False, 50)


def test_texts_that_come_again_and_again_in_each_part_and_missing_ones_are_none() -> None:
    kinds = texts(5)

    found = alike([*kinds * 40, None], [*kinds * 20, None])

    assert (found["passed"], found["found"], found["of"]) == (True, 100, 100)


def test_of_very_many_texts_some_are_drawn_and_the_check_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaking, "_MOST_TEXTS", 100)
    reviews = texts(1000)
    near = [f"{text}!" for text in reviews[300:600]]  # behind the first hundred on both sides

    clean = alike(reviews[:600], reviews[600:])
    leaky = alike(reviews[:600], [*reviews[600:], *near])
    verbatim = alike(reviews[:600], [*reviews[600:], *reviews[590:600]])

    assert [each["passed"] for each in (clean, leaky, verbatim)] == [True, False, False]
    assert "drawn at random: 100 of 400 in test against 100 of 600 before" in clean["why"]
    assert verbatim["found"] == 10


def test_alike_texts_are_told_with_how_much_they_share() -> None:
    one = ["the quick brown fox jumps over the lazy dog", "nothing like it at all, not in a single word"]
    other = ["The quick brown fox jumps over the lazy dog!", "an unrelated sentence about the price of tea"]

    assert alike_texts(one, other) == [(0, 0, 1.0)]


def test_rows_are_near_where_one_column_differs_or_digits_beyond_the_third() -> None:
    one = {"a": np.array([1.0001, 5.0, 9.0]), "b": np.array([10.0, 20.0, 30.0]), "c": np.array(["x", "y", "z"], object)}
    other = {"a": np.array([1.0, 5.0, 1.0]), "b": np.array([10.0, 21.0, 3.0]), "c": np.array(["x", "y", "z"], object)}

    found, place = nearly_in(one, other)

    assert found.tolist() == [True, True, False]
    assert place.tolist() == [0, 1, -1]
    assert row_keys(one)[0] != row_keys(other)[0]
    assert row_keys({"a": np.array([0.0, np.nan])}) == row_keys({"a": np.array([-0.0, np.nan])})


def test_what_makes_no_split_is_refused_with_what_would(sqlite_project: LocalProject) -> None:
    source = add(sqlite_project, "flights", departures(50).assign(gone=None))

    with pytest.raises(InvalidInputError, match="add up to 1"):
        make_split(sqlite_project, "parts", source, shares={"train": 0.7, "test": 0.7})
    with pytest.raises(InvalidInputError, match="needs a column"):
        make_split(sqlite_project, "parts", source, by="group", column="crew")
    with pytest.raises(InvalidInputError, match="not times"):
        make_split(sqlite_project, "parts", source, by="time", column="hour")
    with pytest.raises(InvalidInputError, match="50 rows have no 'gone'"):
        make_split(sqlite_project, "parts", source, by="time", column="gone")
    with pytest.raises(InvalidInputError, match="would be empty"):
        make_split(sqlite_project, "parts", source, by="time", column="at", cuts=("2030-01-01", "2031-01-01"))
    with pytest.raises(InvalidInputError, match="no parts"):
        check_leakage(sqlite_project, source)
