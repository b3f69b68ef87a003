from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from headwater import canonical
from headwater.cli.export_commands import FORMS as OFFERED
from headwater.errors import ConflictError, CorruptError, InvalidInputError, NotFoundError
from headwater.evaluate import register_model
from headwater.model import ContractError, get_model_version, load
from headwater.project import LocalProject, Project, create_project
from headwater.serve.exporting import FORMS, Cluster, entry, export_model
from headwater.serve.exporting import sources as carrying
from headwater.serve.exporting.door import MOST_READING, MOST_WAITING, Door
from headwater.serve.exporting.packaged import Package, compare
from headwater.serve.exporting.sources import UncarriedError, carried_sources
from tests.model.delays import flights, forest, inputs, rows_of
from tests.model.registered import registered
from tests.projects import running
from tests.serve.exporting.building import ask, outputs_of
from tests.serve.models import add_version, estimator, row, training

CLUSTER = Cluster(image="registry.example/delay:1")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProject]:
    """A project with two models that these tests only read: ``delay`` of numbers, ``late`` of every type of column."""
    with create_project(tmp_path_factory.mktemp("shop"), name="test", actor="ann") as project:
        add_version(project)
        registered(project, "late", forest(), inputs())
        yield project


@pytest.fixture(scope="module")
def delay(shop: LocalProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the exported ``delay@v1``, which tests only read."""
    return packaged(shop, tmp_path_factory.mktemp("delay"))


def packaged(project: Project, out: Path, ref: str = "delay@v1") -> Path:
    """Return the folder of a version's exported files."""
    return Path(export_model(project, ref, "onnx", out).path)


def unpacked(project: Project, out: Path, ref: str = "delay@v1") -> Path:
    """Return the folder with the modules of a version's wheel."""
    wheel = Path(export_model(project, ref, "wheel", out).path)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def alone(site: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code that finds the modules of a wheel and cannot import Headwater."""
    begin = f"import sys; sys.path.insert(0, {str(site)!r}); sys.modules['headwater'] = None\n"
    return subprocess.run([sys.executable, "-I", "-c", begin + code], capture_output=True, text=True, check=False)


@pytest.mark.long_elsewhere
def test_every_form_is_written_whole_and_from_any_project(project: Project, tmp_path: Path) -> None:
    version = add_version(project)

    written = [export_model(project, "delay@latest", form, tmp_path / "out", cluster=CLUSTER) for form in FORMS]

    assert [each.form for each in written] == list(FORMS) == list(OFFERED)
    assert {each.model_version for each in written} == {version.id}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "delay-v1-elastic-beanstalk.zip",
        "delay-v1-image",
        "delay-v1-kubernetes",
        "delay-v1-onnx",
        "delay_model-1-py3-none-any.whl",
    ]


def test_an_export_overwrites_nothing_and_leaves_nothing_half(
    shop: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_model(shop, "delay@v1", "onnx", tmp_path)

    with pytest.raises(ConflictError, match="exists already"):
        export_model(shop, "delay@v1", "onnx", tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headwater.serve.exporting.exporting.sync_file", full)
    with pytest.raises(Exception, match="the disk is full"):
        export_model(shop, "delay@v1", "image", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["delay-v1-onnx"]


def test_the_same_version_gives_the_same_wheel(shop: LocalProject, tmp_path: Path) -> None:

    first, again = (export_model(shop, "delay@v1", "wheel", tmp_path / each).path for each in "ab")

    assert Path(first).read_bytes() == Path(again).read_bytes()


def test_a_model_without_onnx_says_what_to_do(shop: LocalProject, tmp_path: Path) -> None:
    import pandas

    register_model(shop, "skops_alone", estimator(2), pandas.DataFrame(training()[0]), onnx=False)

    with pytest.raises(InvalidInputError, match=r"no ONNX file.*sklearn.*onnx=True"):
        export_model(shop, "skops_alone@v1", "wheel", tmp_path)
    with pytest.raises(NotFoundError):
        export_model(shop, "delay@v9", "wheel", tmp_path)


def test_a_wheel_answers_bit_by_bit_as_the_project_without_importing_headwater(
    shop: LocalProject, tmp_path: Path
) -> None:
    rows = rows_of(inputs(seed=5, rows=40))
    expected = load(shop, "late@v1").predict(rows)
    site = unpacked(shop, tmp_path, "late@v1")

    done = alone(site, f"import late_model, json\nprint(json.dumps(late_model.predict({rows!r})))")

    assert json.loads(done.stdout) == expected, done.stderr


def test_a_wheel_refuses_what_the_project_refuses_in_the_same_words(shop: LocalProject, tmp_path: Path) -> None:
    site = unpacked(shop, tmp_path)
    bad: list[Any] = [{**row(), "hour": "noon"}, {**row(), "distance": None}, {"delay": 1e300}, {**row(), "more": 1}]
    loaded = load(shop, "delay@v1")

    code = (
        "import delay_model, json\n"
        f"for row in {bad!r}:\n"
        "    try: delay_model.predict([row])\n"
        "    except delay_model.ContractError as error: print(json.dumps([error.kind, error.values]))\n"
    )
    done = alone(site, code)

    expected = []
    for each in bad:
        with pytest.raises(ContractError) as refused:
            loaded.predict([each])
        expected.append(["contract", json.loads(msgspec.json.encode(refused.value.values))])
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected, done.stderr


def test_what_a_package_carries_reaches_no_room_of_the_project() -> None:
    carried = carried_sources("delay_model._carried", "onnx")

    rooms = {path.partition("/")[0].removesuffix(".py") for path in carried}
    assert rooms <= carrying.ROOMS | {"__init__"}
    assert not [path for path, source in carried.items() if "from headwater" in source]
    # The engine opens stores: that a package would carry it is refused, with the chain that leads there.
    assert carrying._refused("headwater.serve.engine") is not None


def test_a_module_that_begins_to_need_the_project_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "ROOTS", (*carrying.ROOTS, "headwater.model.registry"))

    with pytest.raises(UncarriedError, match=r"headwater\.model\.registry imports headwater\.(lake|project)"):
        carried_sources("delay_model._carried", "onnx")


def test_a_flipped_byte_of_the_model_is_never_answered_with(shop: LocalProject, tmp_path: Path) -> None:
    folder = packaged(shop, tmp_path)
    file = folder / "model.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    with pytest.raises(CorruptError, match="is not the model that was exported"):
        Package(folder).predict([row()])
    file.unlink()
    with pytest.raises(CorruptError, match="cannot be read"):
        Package(folder).check()


def test_the_examples_are_of_the_contract_and_a_changed_answer_is_found(shop: LocalProject, tmp_path: Path) -> None:
    folder = packaged(shop, tmp_path, "late@v1")
    examples = json.loads((folder / "examples.json").read_text())

    whole = Package(folder).check()
    drawn = [each["inputs"] for each in examples]

    assert (whole.examples, whole.equal, whole.passed) == (len(examples), len(examples), True)
    assert len(examples) > 90
    assert {each["carrier"] for each in drawn} >= {"AA", "UA", "YX"}
    assert None in {each["temp"] for each in drawn}
    seen = {(each["temp"], each["hour"]) for each in rows_of(flights())}
    assert not {(each["temp"], each["hour"]) for each in drawn if each["temp"] is not None} & seen

    examples[7]["answer"] = examples[8]["answer"]
    (folder / "examples.json").write_text(json.dumps(examples))
    planted = Package(folder).check()
    assert (planted.equal, planted.different, planted.passed) == (len(examples) - 1, 1, False)
    assert planted.first_difference.startswith("example 7: ")


def test_an_exported_onnx_file_is_the_registered_one_and_answers_in_onnxruntime_alone(
    shop: LocalProject, tmp_path: Path
) -> None:
    import numpy as np
    import onnxruntime

    folder = packaged(shop, tmp_path)
    registered = next(file for file in get_model_version(shop, "delay@v1").files if file.flavour == "onnx")

    data = (folder / "model.onnx").read_bytes()
    session = onnxruntime.InferenceSession(data)
    given = {name: np.array([[value]], np.float32) for name, value in row().items()}
    probability = float(session.run(["probabilities"], given)[0][0][1])

    assert data == shop.objects.get(registered.digest)
    assert probability == load(shop, "delay@v1").predict([row()])[0]["probability"]
    assert json.loads((folder / "input.schema.json").read_text())["required"] == list(row())
    assert "# delay v1" in (folder / "CARD.md").read_text()


def test_the_door_answers_what_the_project_answers_and_says_what_is_wrong(shop: LocalProject, tmp_path: Path) -> None:
    rows = [row(number) for number in range(50)]
    door = Door(Package(packaged(shop, tmp_path)))

    with running(door) as address:
        status, answer = ask(address, rows)
        refused, why = ask(address, [{**row(), "hour": "noon"}])
        garbled, _ = ask(address, b'{"inputs": [' * 100_000)
        empty, _ = ask(address, [])
        large, _ = ask(address, b" " * (12 * 2**20 + 1))

    assert (status, refused, garbled, empty, large) == (200, 422, 400, 400, 413)
    assert outputs_of(answer) == load(shop, "delay@v1").predict(rows)
    assert len({each["id"] for each in answer["predictions"]}) == 50
    assert answer["version"] == "v1"
    assert [each["field"] for each in why["error"]["values"]["problems"]] == ["hour"]
    assert 'model_predictions_total{model="delay",version="v1"} 50' in door.metrics()
    assert 'model_refused_total{model="delay",version="v1"} 1' in door.metrics()


def test_a_door_turns_away_before_it_is_ready_and_when_too_many_wait(shop: LocalProject, tmp_path: Path) -> None:
    import asyncio

    door = Door(Package(packaged(shop, tmp_path)))

    def status_of(path: str, method: str = "GET") -> tuple[int, dict[bytes, bytes]]:
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b'{"inputs": [{}]}'}

        async def send(message: Any) -> None:
            said.append(message)

        asyncio.run(door({"type": "http", "method": method, "path": path, "headers": []}, receive, send))
        return said[0]["status"], dict(said[0]["headers"])

    before = status_of("/predict", "POST")
    assert (before[0], before[1][b"retry-after"]) == (503, b"1")
    assert (status_of("/readyz")[0], status_of("/healthz")[0]) == (503, 200)
    door.open()
    assert (status_of("/readyz")[0], status_of("/predict", "POST")[0], status_of("/else")[0]) == (200, 422, 404)
    door._waiting = MOST_WAITING
    assert status_of("/predict", "POST")[0] == 503
    assert 'model_turned_away_total{model="delay",version="v1"} 1' in door.metrics()


def test_bodies_that_are_slow_to_come_keep_nobody_from_the_model(delay: Path) -> None:
    import asyncio

    door = Door(Package(delay))
    door.open()
    body = json.dumps({"inputs": [row()]}).encode()

    async def status_of(until: asyncio.Event | None = None) -> int:
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if until is not None:
                await until.wait()
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            said.append(message)

        await door({"type": "http", "method": "POST", "path": "/predict", "headers": []}, receive, send)
        return int(said[0]["status"])

    async def beside(slow: int) -> tuple[int, set[int]]:
        until = asyncio.Event()
        readers = [asyncio.ensure_future(status_of(until)) for _ in range(slow)]
        await asyncio.sleep(0)
        quick = await status_of()
        until.set()
        return quick, set(await asyncio.gather(*readers))

    # Those whose bodies then come all at once may be more than wait for the model.
    quick, late = asyncio.run(beside(MOST_WAITING + 1))
    assert quick == 200 and 200 in late <= {200, 503}
    quick, late = asyncio.run(beside(MOST_READING))
    assert quick == 503 and 200 in late <= {200, 503}  # so many bodies are as much memory as it gives
    assert (door._reading, door._waiting) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["predict", "good.json"], 0, '"predictions"'),
        (["predict", "refused.json"], 1, "hour"),
        (["predict", "none.json"], 2, "cannot be read: No such file"),
        (["predict", "."], 2, "cannot be read: Is a directory"),
        (["predict", "garbled.json"], 2, "not a JSON list of objects"),
        (["predict", "deep.json"], 2, "not a JSON list of objects"),
        (["serve", "--port", "0"], 2, "'0' is not a port"),
        (["serve", "--workers", "-1"], 2, "'-1' is not a number of processes"),
        (["health"], 2, "$PORT is '²'"),
        (["health", "--port", "1"], 1, "not ready"),
    ],
)
def test_the_exit_code_of_a_package_says_what_happened(
    delay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    arguments: list[str], code: int, said: str,
) -> None:  # fmt: skip
    package = Package(delay)
    (tmp_path / "good.json").write_text(json.dumps([row()]))
    (tmp_path / "refused.json").write_text(json.dumps([{**row(), "hour": "noon"}]))
    (tmp_path / "garbled.json").write_text("{")
    (tmp_path / "deep.json").write_text('[{"a": ' + "[" * 100_000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "²")

    assert code_of(package, arguments) == code
    assert said in "".join(capfd.readouterr())


def test_an_engine_that_breaks_ends_with_3_and_one_line(
    delay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    package = Package(delay)
    (tmp_path / "good.json").write_text(json.dumps([row()]))

    def broken(*_: object) -> None:
        raise RuntimeError("the engine gave up")

    monkeypatch.setattr(package, "answer", broken)

    assert code_of(package, ["predict", str(tmp_path / "good.json")]) == 3
    assert capfd.readouterr().err == "error: RuntimeError: the engine gave up\n"


def code_of(package: Package, arguments: list[str]) -> int:
    """Return the exit code of a package's command, also where the reader of its arguments ends it."""
    try:
        return entry.main(package, "delay_model.server:app", arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        ({"v": [0.1, 0.2]}, {"v": [0.1, 0.2]}, "equal"),
        ({"v": [0.1, 0.2]}, {"v": [0.1, 0.2000001]}, "within"),
        ({"v": {"a": [{"b": 1.0}], "n": None}}, {"v": {"a": [{"b": 1.0000001}], "n": None}}, "within"),
        ({"v": [0.1, 0.2]}, {"v": [0.1, 0.3]}, "different"),
        ({"v": [0.1, 0.2]}, {"v": [0.1]}, "different"),
        ({"v": {"a": 0.1}}, {"v": {"b": 0.1}}, "different"),
        ({"v": {"a": 0.1}}, {"v": {"a": 0.1000001, "b": 0.1}}, "different"),
        ({"v": [0.1, "x"]}, {"v": [0.1000001, "y"]}, "different"),
    ],
)
def test_numbers_within_lists_and_objects_are_compared_as_any_other(
    before: dict[str, Any], now: dict[str, Any], kind: str
) -> None:
    assert compare(canonical.encode(before).hex(), now) == kind


# ---- Kubernetes


def manifests(project: LocalProject, out: Path, **options: Any) -> list[dict[str, Any]]:
    written = export_model(project, "delay@v1", "kubernetes", out, cluster=msgspec.structs.replace(CLUSTER, **options))
    return list(yaml.safe_load_all((Path(written.path) / "manifests.yaml").read_text()))


def validate(document: dict[str, Any]) -> None:
    import kubernetes_validate  # type: ignore[import-untyped]  # it has no types

    kubernetes_validate.validate(document, "1.34", strict=True)


def test_the_manifests_keep_the_schema_and_run_the_command_of_the_image(shop: LocalProject, tmp_path: Path) -> None:
    documents = manifests(shop, tmp_path, replicas=3, memory="1Gi", namespace="models")
    context = tmp_path / "delay-v1-kubernetes" / "image"

    for document in documents:
        validate(document)

    assert [each["kind"] for each in documents] == ["Deployment", "Service", "PodDisruptionBudget"]
    assert {each["metadata"]["namespace"] for each in documents} == {"models"}
    container = documents[0]["spec"]["template"]["spec"]["containers"][0]
    command = f"CMD {json.dumps(container['command'])}"
    assert command in (context / "Dockerfile").read_text().splitlines()
    assert documents[0]["spec"]["replicas"] == 3
    assert container["image"] == CLUSTER.image
    assert container["ports"][0]["containerPort"] == int(container["command"][-1])


def test_the_schema_check_finds_a_planted_error(shop: LocalProject, tmp_path: Path) -> None:
    import kubernetes_validate

    deployment = manifests(shop, tmp_path)[0]
    deployment["spec"]["template"]["spec"]["containers"][0]["comand"] = ["python"]

    with pytest.raises(kubernetes_validate.ValidationError):
        validate(deployment)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": ""}, "the image has no name"),
        ({"image": "a b"}, "not the name of an image"),
        ({"namespace": "x: y"}, "no namespace"),
        ({"memory": "lots"}, "not a quantity"),
        ({"replicas": 0}, "0 replicas"),
    ],
)
def test_what_a_manifest_would_read_otherwise_is_refused(
    shop: LocalProject, tmp_path: Path, options: dict[str, Any], said: str
) -> None:

    with pytest.raises(InvalidInputError, match=said):
        manifests(shop, tmp_path, **options)
