"""Estimators of scikit-learn are registered without naming types; what is not a plain data holder must be named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headwater.model.flavours.sklearn import load_estimator, untrusted_types

ROWS = np.random.default_rng(0).uniform(0.1, 1, size=(60, 4))
CLASS = (ROWS[:, 0] > ROWS[:, 1]).astype(int)


def estimators() -> dict[str, Any]:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.feature_selection import SelectKBest
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel
    from sklearn.linear_model import LogisticRegression, TweedieRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline

    return {
        "calibrated": CalibratedClassifierCV(LogisticRegression()),
        "boosting": HistGradientBoostingClassifier(max_iter=2),
        "selected": make_pipeline(SelectKBest(k=2), LogisticRegression()),
        "gaussian": GaussianProcessRegressor(RBF() + WhiteKernel()),
        "tweedie": TweedieRegressor(),
        "adam": MLPClassifier(hidden_layer_sizes=(4,), max_iter=500),
        "sgd": MLPRegressor(hidden_layer_sizes=(4,), solver="sgd", max_iter=500),
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", estimators())
def test_a_fitted_estimator_names_no_types_and_answers_as_before(name: str) -> None:
    import skops.io

    fitted = estimators()[name].fit(ROWS, CLASS)
    data = skops.io.dumps(fitted)

    assert untrusted_types(data) == []
    assert (load_estimator(data).predict(ROWS) == fitted.predict(ROWS)).all()


def test_a_compiled_tree_of_neighbours_must_be_named() -> None:
    import skops.io
    from sklearn.neighbors import KNeighborsClassifier

    data = skops.io.dumps(KNeighborsClassifier().fit(ROWS, CLASS))

    assert "sklearn.neighbors._kd_tree.KDTree" in untrusted_types(data)
