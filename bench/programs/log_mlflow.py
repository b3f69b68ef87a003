"""Log points to an MLflow server by its own client: ``python log_mlflow.py URL CALLS BATCH``."""

import json
import sys
import time

from mlflow import MlflowClient  # type: ignore[import-not-found]  # it is only in its own environment
from mlflow.entities import Metric  # type: ignore[import-not-found]

url, calls, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = MlflowClient(url)
run = client.create_run("0").info.run_id


def log(step: int) -> None:
    """Send one batch and wait for the answer."""
    if batch == 1:
        client.log_metric(run, "loss", 0.5, 1_700_000_000_000, step)
    else:
        client.log_batch(run, [Metric("loss", 0.5, 1_700_000_000_000, step + each) for each in range(batch)])


log(0)
started, cpu = time.perf_counter(), time.process_time()
for number in range(calls):
    log(number * batch)
print(json.dumps({"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}))
