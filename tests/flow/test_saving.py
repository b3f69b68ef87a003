"""Values come back as they were given, in open formats, under digests that repeat."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

from headwater.errors import InvalidInputError, RefusedError
from headwater.flow.saving import Format, Saved, load, mask, register_format, save, unmask


def back(saved: Saved, *, trust: bool = True) -> Any:
    return load(saved.parts, lambda part: saved.contents[part.digest], trust=trust)


def formats(saved: Saved) -> list[str]:
    return [part.format for part in saved.parts]


PLAIN = [
    None, True, 0, -1, 2**70, -(2**70), 1.5, -0.0, "text", "odd \ud800", b"bytes", bytearray(b"x"), 1 + 2j, range(3),
    (1, (2, 3)), [1, [2]], {"a": 1}, {1: "one", (2, 3): "two"}, {"$part": 1}, {1, 2}, frozenset({"x"}), slice(1, 2),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC), datetime.date(2026, 1, 2), datetime.time(1, 2),
    datetime.timedelta(days=1, microseconds=3), decimal.Decimal("1.10"), uuid.UUID(int=5), PurePosixPath("a/b"),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_a_plain_value_is_json_and_comes_back_the_same(value: Any) -> None:
    saved = save(value)

    again = back(saved, trust=False)
    assert again == value and type(again) is type(value)
    assert formats(saved) == ["json"]


def test_floats_keep_their_bits() -> None:
    nan, inf, negative = back(save([math.nan, math.inf, -0.0]))

    assert math.isnan(nan) and inf == math.inf and math.copysign(1, negative) == -1


def test_values_that_differ_have_other_digests() -> None:
    values = [1, 1.0, True, "1", b"1", [1], (1,), {1}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, None, 0.0, -0.0, math.nan]

    assert len({save(value).digest for value in values}) == len(values)


def test_arrays_are_npy_files() -> None:
    value: dict[str, Any] = {"a": np.arange(6).reshape(2, 3), "b": [np.float32(1.5)]}
    saved = save(value)
    again = back(saved, trust=False)

    assert np.array_equal(again["a"], value["a"]) and again["b"][0] == np.float32(1.5)
    assert type(again["b"][0]) is np.float32
    assert formats(saved) == ["json", "npy", "npy-scalar"]
    assert saved.digest == save(value).digest


def test_frames_are_parquet_files() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {"x": [1, 2, 3], "y": [1.5, None, 2.5], "s": ["a", None, "c"], "c": pd.Categorical(["u", "v", "u"])},
        index=pd.Index([5, 6, 9], name="key"),
    )
    saved = save((frame, frame["y"]))
    again, series = back(saved, trust=False)

    pd.testing.assert_frame_equal(again, frame)
    pd.testing.assert_series_equal(series, frame["y"])
    assert formats(saved) == ["json", "parquet", "parquet"]


def test_a_frame_that_parquet_would_change_is_pickled() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"mixed": [1, "a", (2, 3)]})
    saved = save(frame)

    pd.testing.assert_frame_equal(back(saved), frame)
    assert formats(saved) == ["json", "pickle"]


def test_estimators_are_skops_files_with_a_digest_that_repeats() -> None:
    pytest.importorskip("skops")
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = np.random.default_rng(1).random((200, 3))
    fitted = [HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(rows, rows[:, 0] > 0.5) for _ in range(2)]
    one, two = (save(each) for each in fitted)

    assert formats(one) == ["json", "skops"]
    assert one.digest == two.digest
    assert np.array_equal(back(one).predict_proba(rows), fitted[0].predict_proba(rows))


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_pickle_is_the_last_resort_and_is_not_loaded_without_trust() -> None:
    saved = save(Point(3))

    assert formats(saved) == ["json", "pickle"] and back(saved).x == 3
    assert saved.parts[1].classes == (f"{Point.__module__}:Point",)
    with pytest.raises(RefusedError, match="trust=True"):
        back(saved, trust=False)


def test_what_cannot_be_kept_says_where_and_why() -> None:
    import threading

    with pytest.raises(InvalidInputError, match=r"the value\['a'\].*lock"):
        save({"a": threading.Lock()})


def test_a_registered_format_is_asked_first() -> None:
    register_format(
        Format(
            name="point",
            takes=lambda value: isinstance(value, Point),
            save=lambda value: str(value.x).encode(),
            load=lambda data: Point(int(data)),
        )
    )
    try:
        saved = save([Point(7)])

        assert formats(saved) == ["json", "point"] and back(saved, trust=False)[0].x == 7
    finally:
        from headwater.flow import saving

        saving._formats.clear()


def test_masked_bytes_come_back_and_share_no_stretch() -> None:
    data = bytes(range(256)) * 10

    assert unmask(mask(data, 7)) == data
    assert data[:16] not in mask(data, 7)
