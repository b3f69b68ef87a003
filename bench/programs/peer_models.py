"""Fit the model of the prediction measure for a peer, in the peer's own environment and this folder.

    python peer_models.py mlflow    writes ``model/`` for ``mlflow models serve``
    python peer_models.py bentoml   writes the model ``tumour`` into BENTOML_HOME, and ``service.py``

Gradient boosting, 100 trees of depth 3, on scikit-learn's breast-cancer table of 30 columns, as in make_model.py.
"""

import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier

SERVICE = """
import bentoml
import numpy


@bentoml.service(workers=1)
class Tumour:
    stored = bentoml.models.BentoModel("tumour:latest")

    def __init__(self):
        self.model = bentoml.sklearn.load_model(self.stored)

    @bentoml.api
    def invocations(self, inputs: list[list[float]]) -> list[int]:
        return self.model.predict(numpy.asarray(inputs)).tolist()
"""

rows, truth = load_breast_cancer(return_X_y=True)
model = GradientBoostingClassifier(random_state=0).fit(rows, truth)
if sys.argv[1] == "mlflow":
    import mlflow.sklearn

    mlflow.sklearn.save_model(model, "model", serialization_format="cloudpickle")
else:
    import bentoml

    bentoml.sklearn.save_model("tumour", model)
    Path("service.py").write_text(SERVICE)
