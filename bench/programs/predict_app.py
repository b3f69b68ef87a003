"""Floor of a prediction: a bare Starlette handler around onnxruntime, which checks and keeps nothing.

Served by granian with one worker, as Headwater is; the model is named by $FLOOR_MODEL.
"""

import json
import os

import numpy
import onnxruntime
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def create() -> Starlette:
    """Return the application, with its model loaded."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(os.environ["FLOOR_MODEL"], options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0].name

    async def predict(request: Request) -> Response:
        body = json.loads(await request.body())
        answer = session.run(None, {wanted: numpy.asarray(body["inputs"], dtype=numpy.float32)})
        return Response(json.dumps({"predictions": answer[0].tolist()}), media_type="application/json")

    async def healthy(request: Request) -> Response:
        return Response(b"{}")

    return Starlette(routes=[Route("/invocations", predict, methods=["POST"]), Route("/healthz", healthy)])
