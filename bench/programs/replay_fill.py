"""Fill the project of this folder with predictions by 20 versions of one model, alone, in batches, and micro-batched.

    python replay_fill.py PREDICTIONS

Trees, a linear model and small networks on scikit-learn's breast-cancer table: of the networks' answers the last bits
depend on the batch. Each version is released in turn and answers requests of 1 to 12 rows, one after the other and
many at once. headwater.toml lets requests under way be computed together, whatever the model.
"""

import asyncio
import random
import sys
import warnings

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headwater.evaluate import register_model
from headwater.project import open_project
from headwater.release import request_release
from headwater.serve import Engine

VERSIONS = 20
LARGEST = 12
AT_ONCE = 24
TRUSTED = ["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"]  # a fitted network holds it


def estimator(number):
    """Return the estimator of a version: trees of growing depth, linear models, networks of growing width."""
    if number % 3 == 0:
        return GradientBoostingClassifier(n_estimators=20, max_depth=1 + number // 3, random_state=number)
    if number % 3 == 1:
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.1 * (1 + number)))
    return make_pipeline(StandardScaler(), MLPClassifier((16 + number,), max_iter=60, random_state=number))


async def answer(engine, requests):
    """Answer requests, many of them at the same time, and return how many predictions that were."""
    count = 0
    for start in range(0, len(requests), AT_ONCE):
        answers = await asyncio.gather(*(engine.answer("tumour", rows) for rows in requests[start : start + AT_ONCE]))
        count += sum(len(each.predictions) for each in answers)
    return count


def main(wanted):
    warnings.simplefilter("ignore")
    chance = random.Random(7)
    frame, truth = load_breast_cancer(return_X_y=True, as_frame=True)
    frame.columns = [name.replace(" ", "_") for name in frame.columns]
    rows = frame.to_dict("records")
    with open_project(".") as project:
        for number in range(VERSIONS):
            version = register_model(project, "tumour", estimator(number).fit(frame, truth), frame, trusted=TRUSTED)
            request = request_release(project, version.id, "production", "to be replayed")
            assert request.status == "released", request.status
            sizes = [chance.randint(1, LARGEST) for _ in range(1 + wanted * 2 // (VERSIONS * (LARGEST + 1)))]
            requests = [[chance.choice(rows) for _ in range(size)] for size in sizes]
            with Engine(project) as engine:
                for each in requests[::4]:
                    engine.predict("tumour", each)
                asyncio.run(answer(engine, [each for place, each in enumerate(requests) if place % 4]))


main(int(sys.argv[1]))
