"""Fit the model of the prediction measure, register and release it in the project of this folder.

    python make_model.py

Writes ``model.onnx`` (what the floor serves), ``ours.json`` and ``floor.json`` (the body of one request to each):
gradient boosting, 100 trees of depth 3, on scikit-learn's breast-cancer table of 30 columns.
"""

import json
from pathlib import Path

import numpy
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier

from headwater.evaluate import register_model
from headwater.project import open_project
from headwater.release import request_release

frame, truth = load_breast_cancer(return_X_y=True, as_frame=True)
frame.columns = [name.replace(" ", "_") for name in frame.columns]
model = GradientBoostingClassifier(random_state=0).fit(frame, truth)
project = open_project(".")
version = register_model(project, "tumour", model, frame)
request = request_release(project, version.id, "production", "to be measured")
assert request.status == "released", request.status

plain = GradientBoostingClassifier(random_state=0).fit(frame.to_numpy(), truth)
onnx = to_onnx(plain, frame.to_numpy()[:1].astype(numpy.float32), options={id(plain): {"zipmap": False}})
project.close()
Path("model.onnx").write_bytes(onnx.SerializeToString())
Path("ours.json").write_text(json.dumps({"inputs": [frame.iloc[0].to_dict()]}))
Path("floor.json").write_text(json.dumps({"inputs": [frame.iloc[0].tolist()]}))
