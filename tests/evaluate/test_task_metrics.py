from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import InvalidInputError
from headwater.evaluate.bootstrap import draws
from headwater.evaluate.detection_metrics import detection_metrics, read_boxes
from headwater.evaluate.metrics import binary_metrics, class_metrics
from headwater.evaluate.ranking_metrics import ranking_metrics
from headwater.evaluate.recognition_metrics import recognition_metrics


def texts(*values: str | None) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def test_error_rates_of_text_are_edits_over_length_worked_out_by_hand() -> None:
    # "kitten" to "sitting" takes 3 edits of 6 letters; "a b c" to "a x c" takes 1 of 5 letters and 1 of 3 words
    metrics = recognition_metrics(texts("kitten", "a b c"), texts("sitting", "a  x c"))

    found = {name: metric(np.ones(2)) for name, metric in metrics.items()}
    assert found == {"cer": 4 / 11, "wer": (1 + 1) / 4, "exact": 0.0}
    # the first line drawn three times, the second never
    assert metrics["cer"](np.array([3.0, 0.0])) == 9 / 18


def test_letters_composed_in_two_ways_are_the_same_text_and_nothing_read_is_all_wrong() -> None:
    metrics = recognition_metrics(texts("caf\u00e9", "ab"), texts("cafe\u0301", None))

    assert metrics["cer"](np.ones(2)) == 2 / 6
    assert metrics["exact"](np.ones(2)) == 0.5


def test_a_ranking_is_measured_query_by_query_as_worked_out_by_hand() -> None:
    # query 0 puts the one relevant second of three; query 1 puts gains 0, 2, 1 in that order; query 2 has none
    relevance = np.array([0, 1, 0, 0, 2, 1, 0, 0])
    score = np.array([0.9, 0.8, 0.1, 0.9, 0.8, 0.7, 0.5, 0.4])
    query = np.array([0, 0, 0, 1, 1, 1, 2, 2])

    found = {name: metric(np.ones(8)) for name, metric in ranking_metrics(relevance, score, query).items()}

    second, third = 1 / np.log2(3), 1 / np.log2(4)
    assert found["ndcg_10"] == pytest.approx((second + (2 * second + third) / (2 + second)) / 2)
    assert found["mean_reciprocal_rank"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert found["mean_average_precision"] == pytest.approx((1 / 2 + (1 / 2 + 2 / 3) / 2) / 2)
    assert found["precision_10"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert found["recall_10"] == 1.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**6)), min_size=2, max_size=30))
def test_the_gain_of_a_ranking_agrees_with_scikit_learn(rows: list[tuple[int, int]]) -> None:
    from sklearn.metrics import ndcg_score

    relevance = np.array([each[0] for each in rows])
    score = np.array([each[1] for each in rows]) + np.arange(len(rows)) / 1000  # no ties, which it treats otherwise
    ours = ranking_metrics(relevance, score, np.zeros(len(rows), int))["ndcg_10"](np.ones(len(rows)))

    if relevance.any():
        assert ours == pytest.approx(ndcg_score([relevance], [score], k=10))
    else:
        assert np.isnan(ours)


def test_whole_groups_are_drawn_together() -> None:
    groups = np.array([0, 0, 0, 1, 2])

    for weights in draws(5, 20, seed=1, groups=groups):
        assert len(set(weights[:3])) == 1
        assert weights[[0, 3, 4]].sum() == 3


def scenes(seed: int, pictures: int) -> tuple[list[Any], list[Any]]:
    """Return true boxes and found ones: some moved, some missed, some made up, some with another label."""
    random = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(pictures):
        boxes, said = [], []
        for _ in range(random.integers(0, 6)):
            x, y, w, h = random.integers(0, 200, 2).tolist() + random.integers(20, 90, 2).tolist()
            label = str(random.choice(["cat", "dog"]))
            boxes.append({"label": label, "box": [x, y, x + w, y + h]})
            if random.random() < 0.85:
                dx, dy = random.integers(-12, 13, 2).tolist()
                name = label if random.random() < 0.9 else "cat"
                score = float(np.round(random.random(), 6))
                said.append({"label": name, "box": [x + dx, y + dy, x + w + dx, y + h], "score": score})
        if random.random() < 0.5:
            said.append({"label": "dog", "box": [0, 0, 30, 30], "score": float(np.round(random.random(), 6))})
        truth.append(boxes)
        found.append(said)
    return truth, found


def as_coco(truth: list[Any], found: list[Any]) -> Any:
    """Return the twelve numbers of COCO's own evaluation."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels = {"cat": 1, "dog": 2}

    def plain(each: Any, place: int) -> dict[str, Any]:
        left, top, right, bottom = each["box"]
        box = [left, top, right - left, bottom - top]
        return {"image_id": place + 1, "category_id": labels[each["label"]], "bbox": box, "area": box[2] * box[3]}

    boxes = [plain(each, place) for place, several in enumerate(truth) for each in several]
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": place + 1} for place in range(len(truth))],
        "categories": [{"id": k, "name": name} for name, k in labels.items()],
        "annotations": [{**each, "id": k + 1, "iscrowd": 0} for k, each in enumerate(boxes)],
    }
    coco.createIndex()
    said = [{**plain(each, place), "score": each["score"]} for place, several in enumerate(found) for each in several]
    judge = COCOeval(coco, coco.loadRes(said), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return judge.stats


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_precision_of_boxes_is_that_of_cocos_own_tools(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = scenes(seed, 40)
    column = np.empty(40, object)
    column[:] = found

    said = {
        name: metric(np.ones(40)) for name, metric in detection_metrics(texts(*map(json.dumps, truth)), column).items()
    }

    theirs = as_coco(truth, found)
    wanted = {"map": theirs[0], "map_50": theirs[1], "map_75": theirs[2], "recall_100": theirs[8]}
    assert said == pytest.approx(wanted, abs=1e-9)
    assert 0.05 < said["map"] < said["map_50"] < 1


def test_a_picture_drawn_twice_counts_as_two_pictures() -> None:
    truth, found = scenes(5, 12)
    weights = np.array([2.0, 0.0] + [1.0] * 10)
    twice = [0, 0, *range(2, 12)]

    once = detection_metrics(texts(*map(json.dumps, truth)), texts(*map(json.dumps, found)))
    again = detection_metrics(
        texts(*(json.dumps(truth[k]) for k in twice)), texts(*(json.dumps(found[k]) for k in twice))
    )

    assert once["map"](weights) == pytest.approx(again["map"](np.ones(12)))


def test_what_is_no_box_is_refused_with_the_form_that_is_wanted() -> None:
    with pytest.raises(InvalidInputError, match="left, top, right, bottom"):
        read_boxes('[{"label": "cat", "box": [1, 2, 3]}]')
    assert read_boxes(None) == []


def test_the_further_metrics_of_classes_agree_with_scikit_learn_under_any_weights() -> None:
    from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, log_loss, precision_score

    random = np.random.default_rng(3)
    weights = random.integers(0, 4, 400).astype(float)
    p = np.round(random.random(400), 2)
    y = random.random(400) < p
    two = {name: metric(weights) for name, metric in binary_metrics(y, p).items()}
    assert two["average_precision"] == pytest.approx(average_precision_score(y, p, sample_weight=weights))
    assert two["f1"] == pytest.approx(f1_score(y, p > 0.5, sample_weight=weights))
    assert two["precision"] == pytest.approx(precision_score(y, p > 0.5, sample_weight=weights))

    truth = random.choice(["a", "b", "c"], 400)
    label = np.where(random.random(400) < 0.6, truth, random.choice(["a", "b", "c"], 400))
    chance = random.uniform(0.1, 0.9, 400)
    three = {name: metric(weights) for name, metric in class_metrics(truth, label, chance).items()}
    assert three["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, label, sample_weight=weights))
    assert three["macro_f1"] == pytest.approx(f1_score(truth, label, average="macro", sample_weight=weights))
    assert three["log_loss"] == pytest.approx(
        log_loss(np.ones(400, bool), chance, sample_weight=weights, labels=[False, True])
    )


def test_labels_written_as_whole_numbers_and_as_floats_are_the_same() -> None:
    assert class_metrics(np.array([1.0, 0.0]), np.array([1, 1]))["accuracy"](np.ones(2)) == 0.5
