from __future__ import annotations

import numpy as np
import pytest

from headwater.model import profile_reference
from headwater.model.documents import dump, parse
from headwater.model.reference import bin_labels, count_column, profile_column, reference_counts
from tests.model.delays import ROWS, inputs


def test_counting_training_itself_gives_the_profiles_own_counts() -> None:
    profile = parse(dump(profile_reference(inputs())))

    assert profile["format"] == "headwater-reference/1"
    for name, column in profile["inputs"].items():
        counts = count_column(column, inputs()[name].to_numpy())
        assert counts == reference_counts(column)
        assert sum(counts) == ROWS
        assert len(bin_labels(column)) == len(counts)


def test_a_number_is_binned_by_quantiles_with_open_ends() -> None:
    profile = profile_column(np.arange(100.0))

    assert len(profile["edges"]) == 19
    assert profile["counts"] == [5] * 20
    assert count_column(profile, np.array([-1e9, 1e9, 4.0, 4.5, np.nan])) == [2, 1, *[0] * 17, 1, 1]


def test_values_repeated_often_share_an_edge_but_make_no_empty_bin() -> None:
    profile = profile_column(np.array([0.0] * 90 + [1.0] * 5 + [2.0] * 5))

    assert profile["edges"] == [0.0, 1.0]
    assert profile["counts"] == [90, 5, 5]


def test_an_unseen_category_is_counted_as_other_and_a_missing_one_apart() -> None:
    profile = profile_column(np.array(["a", "a", "b", None], object))

    assert (profile["values"], profile["counts"], profile["missing"]) == (["a", "b"], [2, 1], 1)
    assert count_column(profile, np.array(["b", "z", None, "b"], object)) == [0, 2, 1, 1]


def test_a_column_without_any_value_has_a_profile() -> None:
    profile = profile_column(np.array([np.nan, np.nan]))

    assert reference_counts(profile) == [0, 2]
    assert count_column(profile, np.array([1.0])) == [1, 0]


def test_floats_that_json_has_no_word_for_come_back() -> None:
    values = {"a": float("nan"), "b": [float("inf"), -float("inf"), -0.0], "c": np.float32(0.5)}

    back = parse(dump(values))

    assert np.isnan(back["a"])
    assert back["b"][:2] == [float("inf"), -float("inf")]
    assert np.signbit(back["b"][2])
    assert back["c"] == pytest.approx(0.5)
