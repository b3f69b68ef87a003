from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater import canonical
from headwater.errors import ConflictError, NotFoundError
from headwater.project import LocalProject
from headwater.serve import predict
from headwater.trace import export_bundle, replay, replay_bundle, sample_predictions
from headwater.trace.replaying import allocate
from tests.serve.models import add_version, point, row


def serve_two_versions(project: LocalProject) -> list[str]:
    """Return ids of predictions by two versions, in batches of one to seven rows."""
    ids = []
    point(project, add_version(project, 2))
    point(project, add_version(project, 3), "staging")
    for size in range(1, 8):
        for channel in ("production", "staging"):
            answer = predict(project, "delay", [row(size * 10 + n) for n in range(size)], channel=channel)
            ids += [each["id"] for each in answer.predictions]
    return ids


@pytest.mark.long_elsewhere
def test_every_prediction_comes_out_byte_for_byte_the_same(local_project: LocalProject) -> None:
    ids = serve_two_versions(local_project)

    report = replay(local_project, ids)

    assert (report.asked, report.equal, report.batches) == (56, 56, 14)
    assert report.all_equal
    assert sorted(report.versions.values()) == [28, 28]


def test_a_prediction_is_replayed_after_its_events_were_sealed(sqlite_project: LocalProject) -> None:
    ids = serve_two_versions(sqlite_project)
    sqlite_project.events.seal(all=True)

    assert replay(sqlite_project, ids).all_equal


def keep(project: LocalProject, **changes: Any) -> str:
    """Keep a copy of a prediction with something changed, as its only row, and return its id."""
    answer = predict(project, "delay", [row(1)])
    kept = project.events.rows("predictions", "prediction = ?", [answer.id])[0]
    identifier = f"{answer.id[:-4]}0000"
    del kept["recorded_at"]
    project.events.append("predictions", [{**kept, "prediction": identifier, "batch": identifier, **changes}])
    return identifier


def test_a_difference_in_one_bit_is_named_with_both_values(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project))
    outputs = predict(sqlite_project, "delay", [row(1)]).predictions[0]
    del outputs["id"]
    other = canonical.float_from_bits(canonical.float_bits(outputs["probability"]) ^ 1)
    planted = keep(sqlite_project, outputs=canonical.encode({**outputs, "probability": other}))

    report = replay(sqlite_project, [planted])

    assert report.equal == 0
    assert [(each.output, each.recorded, each.replayed) for each in report.different] == [
        ("probability", other, outputs["probability"])
    ]
    bits = [int(text, 16) for text in (report.different[0].recorded_bits, report.different[0].replayed_bits)]
    assert bits[0] ^ bits[1] == 1


def test_a_changed_input_is_a_difference(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project))
    planted = keep(sqlite_project, inputs=canonical.encode({**row(1), "delay": 40.0}))

    assert {each.prediction for each in replay(sqlite_project, [planted]).different} == {planted}


def test_on_another_machine_close_answers_are_said_to_be_close(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project))
    outputs = predict(sqlite_project, "delay", [row(1)]).predictions[0]
    del outputs["id"]
    with sqlite_project.ledger.write() as tx:
        body = json.loads(tx.value("SELECT body FROM executions"))
        body["cpu"] = "another"
        tx.insert("executions", digest="e" * 64, body=json.dumps(body), recorded_at=1)
    near = canonical.encode({**outputs, "probability": outputs["probability"] + 1e-7})
    far = canonical.encode({**outputs, "probability": outputs["probability"] + 1e-2})

    close = replay(sqlite_project, [keep(sqlite_project, outputs=near, execution="e" * 64)])
    wrong = replay(sqlite_project, [keep(sqlite_project, outputs=far, execution="e" * 64)])

    assert (close.equal, len(close.within), len(close.different)) == (0, 1, 0)
    assert "cpu was another" in close.within[0].why
    assert (len(wrong.within), len(wrong.different)) == (0, 1)


def test_what_is_not_kept_is_said_to_be_so(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project))
    half = keep(sqlite_project, batch_size=2)

    report = replay(sqlite_project, [half, "prediction:" + "0" * 26])

    assert report.equal == 0
    assert {each.prediction: each.why for each in report.not_kept} == {
        half: "1 of the 2 rows of its batch are not kept",
        "0" * 26: "there is no event of this prediction",
    }


def test_a_sample_has_every_version_in_it_and_the_same_seed_gives_the_same(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project, 2))
    point(sqlite_project, add_version(sqlite_project, 3), "staging")
    predict(sqlite_project, "delay", [row(n) for n in range(300)])
    rare = predict(sqlite_project, "delay", [row(n) for n in range(3)], channel="staging")

    first, again = (sample_predictions(sqlite_project, 50, seed=4) for _ in range(2))
    other = sample_predictions(sqlite_project, 50, seed=5)

    assert first == again != other
    assert len(set(first)) == 50
    assert {each["id"] for each in rare.predictions} <= set(first)


def test_shares_add_up_and_take_no_more_than_there_is() -> None:
    assert allocate({"a": 10, "b": 1}, 100) == {"a": 10, "b": 1}
    assert allocate({"a": 1000, "b": 3, "c": 3}, 100) == {"a": 94, "b": 3, "c": 3}
    assert allocate({}, 5) == {}
    assert sum(allocate({str(n): n + 1 for n in range(40)}, 100).values()) == 100


# ---- bundles


@pytest.fixture
def bundle(sqlite_project: LocalProject, tmp_path: Path) -> Path:
    serve_two_versions(sqlite_project)
    export_bundle(sqlite_project, tmp_path / "bundle", n=20)
    return tmp_path / "bundle"


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headwater.trace.bundle", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_a_bundle_replays_in_a_fresh_process_without_the_project(bundle: Path) -> None:
    done = run_module(str(bundle))

    assert done.returncode == 0, done.stderr
    assert "20 of 20 predictions equal" in done.stdout


def test_a_bundle_says_what_each_model_came_from(bundle: Path) -> None:
    lineage = json.loads((bundle / "lineage.json").read_text())

    assert all(ref == graph["root"] for ref, graph in lineage.items())
    assert len(lineage) == 2


def test_a_changed_weight_is_named_and_gives_other_answers(bundle: Path) -> None:
    import onnx

    path = max((bundle / "models").iterdir(), key=lambda each: each.stat().st_size)
    model = onnx.load_from_string(path.read_bytes())
    tree = next(node for node in model.graph.node if node.op_type == "TreeEnsembleClassifier")
    weights = next(each for each in tree.attribute if each.name == "class_weights")
    for place in range(len(weights.floats)):
        weights.floats[place] *= 1.001
    path.write_bytes(model.SerializeToString())

    stopped, forced = replay_bundle(bundle), replay_bundle(bundle, force=True)

    assert [finding.what for finding in stopped.findings] == [f"models/{path.name}"]
    assert (stopped.equal, len(stopped.not_kept)) == (0, 20)
    assert [finding.what for finding in forced.findings] == [f"models/{path.name}"]
    assert forced.different
    assert {each.output for each in forced.different} == {"probability"}
    assert run_module(str(bundle)).returncode == 1
    assert "different: prediction" in run_module(str(bundle), "--force").stdout


def test_a_changed_input_row_is_named_and_gives_other_answers(bundle: Path) -> None:
    import base64

    path = bundle / "batches.ndjson"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    manifest = json.loads((bundle / "bundle.json").read_text())
    victim = next(each for each in rows if each["prediction"] in manifest["predictions"])
    inputs = canonical.decode(base64.b64decode(victim["inputs"]))
    victim["inputs"] = base64.b64encode(canonical.encode({**inputs, "delay": inputs["delay"] + 40})).decode()
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))

    forced = replay_bundle(bundle, force=True)

    assert [finding.what for finding in forced.findings] == ["batches.ndjson"]
    assert {each.prediction for each in forced.different} == {victim["prediction"]}
    assert replay_bundle(bundle).equal == 0


def test_a_bundle_whose_manifest_was_rewritten_is_seen_by_its_digest(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    serve_two_versions(sqlite_project)
    exported = export_bundle(sqlite_project, tmp_path / "b", n=5)
    assert replay_bundle(tmp_path / "b", digest=exported.digest).all_equal
    manifest = json.loads((tmp_path / "b" / "bundle.json").read_text())
    manifest["predictions"] = manifest["predictions"][:1]
    (tmp_path / "b" / "bundle.json").write_text(json.dumps(manifest))

    report = replay_bundle(tmp_path / "b", digest=exported.digest)

    assert [finding.what for finding in report.findings] == ["bundle.json"]


def test_a_file_that_was_added_or_taken_away_is_named(bundle: Path) -> None:
    (bundle / "models" / "extra").write_bytes(b"")
    (bundle / "lineage.json").unlink()

    assert {finding.what for finding in replay_bundle(bundle).findings} == {"models/extra", "lineage.json"}


def test_a_bundle_is_never_written_over_and_never_half(sqlite_project: LocalProject, tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="exists already"):
        export_bundle(sqlite_project, tmp_path)
    with pytest.raises(NotFoundError, match="have no events"):
        export_bundle(sqlite_project, tmp_path / "new", predictions=["0" * 26])
    assert not (tmp_path / "new").exists()
    with pytest.raises(NotFoundError, match="is no bundle"):
        replay_bundle(tmp_path)
