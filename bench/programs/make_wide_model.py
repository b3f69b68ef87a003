"""Fit a model that gains from batches, register and release it in the project of this folder.

    python make_wide_model.py

A neural network with three layers of 2,048 units over 20 numbers: its weights, 34 MB, are read from memory once for a
batch however many rows that has. Writes ``ours.json``, the body of one request.
"""

import json
import warnings
from pathlib import Path

import numpy
import pandas
from sklearn.neural_network import MLPClassifier

from headwater.evaluate import register_model
from headwater.project import open_project
from headwater.release import request_release

random = numpy.random.default_rng(0)
frame = pandas.DataFrame(random.normal(size=(256, 20)), columns=[f"x{number}" for number in range(20)])
truth = frame.sum(axis=1) > 0
model = MLPClassifier((2048, 2048, 2048), max_iter=1, random_state=0)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # one pass does not converge, and need not
    model.fit(frame, truth)
project = open_project(".")
version = register_model(project, "wide", model, frame)
request = request_release(project, version.id, "production", "to be measured")
assert request.status == "released", request.status
project.close()
Path("ours.json").write_text(json.dumps({"inputs": [frame.iloc[0].to_dict()]}))
