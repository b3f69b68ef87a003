"""Compute a bundle's batches again with onnxruntime and nothing else: prints rows, and how many came out equal.

python replay_floor.py BUNDLE
"""

import base64
import itertools
import json
import struct
import sys
from pathlib import Path

import msgspec
import numpy
import onnxruntime

bundle = Path(sys.argv[1])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
sessions = {
    version["id"]: onnxruntime.InferenceSession(
        (bundle / "models" / next(f["digest"] for f in version["files"] if f["flavour"] == "onnx")).read_bytes(),
        options,
    )
    for version in json.loads((bundle / "models.json").read_text())
}
rows = equal = 0
with (bundle / "batches.ndjson").open("rb") as file:
    lines = map(msgspec.json.decode, file)
    for _, group in itertools.groupby(lines, key=lambda row: row["batch"]):
        batch = sorted(group, key=lambda row: row["position"])
        inputs = [msgspec.msgpack.decode(base64.b64decode(row["inputs"])) for row in batch]
        feed = {name: numpy.array([[row[name]] for row in inputs], numpy.float32) for name in inputs[0]}
        chances = sessions[batch[0]["version"]].run(["probabilities"], feed)[0][:, 1].tolist()
        for row, chance in zip(batch, chances, strict=True):
            recorded = msgspec.msgpack.decode(base64.b64decode(row["outputs"]))["probability"]
            rows += 1
            equal += struct.pack("<d", recorded) == struct.pack("<d", chance)
print(json.dumps({"rows": rows, "equal": equal}))
