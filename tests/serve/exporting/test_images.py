"""An export built and run as its own files say, in a clean environment: the Dockerfile's lines, the Procfile's line."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from headwater.model import load
from headwater.project import LocalProject
from headwater.serve.exporting import Cluster, export_model
from tests.model.delays import forest, inputs, rows_of
from tests.model.registered import registered
from tests.serve.exporting.building import (
    ask,
    at_port,
    build,
    free_port,
    install,
    make_environment,
    outputs_of,
    read_dockerfile,
    run,
    started,
)

PROCFILE = re.compile(r"^[A-Za-z0-9_]+:\s*.+$")  # what Elastic Beanstalk reads


def test_a_wheel_that_pip_installs_answers_by_itself_and_by_the_commands_of_image_and_deployment(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    registered(sqlite_project, "delay", forest(), inputs())
    rows = rows_of(inputs(seed=5, rows=60))
    expected = load(sqlite_project, "delay@v1").predict(rows)
    cluster = Cluster(image="registry.example/delay:1")
    exported = Path(export_model(sqlite_project, "delay@v1", "kubernetes", tmp_path, cluster=cluster).path)
    wheel = next((exported / "image").glob("*.whl"))
    environment = install(tmp_path / "environment", [f"{wheel}[server]"])
    workdir = tmp_path / "empty"
    workdir.mkdir()

    # What was installed knows nothing of Headwater, and the package alone answers.
    code = "import importlib.util, json; assert importlib.util.find_spec('headwater') is None; import delay_model; "
    said = run(["python", "-c", f"{code}print(json.dumps(delay_model.predict({rows!r})))"], environment, workdir)
    assert json.loads(said) == expected
    assert "100 of 100 answers equal" in run(["python", "-m", "delay_model", "check"], environment, workdir)

    # The command of the image, and what its health check says; the Deployment's own is held to be the same elsewhere.
    recipe = read_dockerfile(exported / "image" / "Dockerfile")
    port = free_port()
    with started(at_port(recipe.command, port), environment, workdir, port, recipe.env) as address:
        status, answer = ask(address, rows)
        health = json.loads(recipe.last("HEALTHCHECK").partition("CMD ")[2])
        assert '"status":"ready"' in run([*health[:-1], str(port)], environment, workdir, recipe.env)
    assert (status, outputs_of(answer)) == (200, expected)


@pytest.mark.long
def test_an_image_built_by_its_own_lines_answers_as_the_project(sqlite_project: LocalProject, tmp_path: Path) -> None:
    registered(sqlite_project, "delay", forest(), inputs())
    rows = rows_of(inputs(seed=5, rows=60))
    expected = load(sqlite_project, "delay@v1").predict(rows)
    cluster = Cluster(image="registry.example/delay:1")
    exported = Path(export_model(sqlite_project, "delay@v1", "kubernetes", tmp_path, cluster=cluster).path)
    recipe = read_dockerfile(exported / "image" / "Dockerfile")
    environment = make_environment(tmp_path / "environment")
    workdir = tmp_path / "app"
    workdir.mkdir()

    build(exported / "image", recipe, environment, workdir)

    # The image's own command, and what its health check says.
    port = free_port()
    with started(at_port(recipe.command, port), environment, workdir, port, recipe.env) as address:
        status, answer = ask(address, rows)
        health = json.loads(recipe.last("HEALTHCHECK").partition("CMD ")[2])
        assert '"status":"ready"' in run([*health[:-1], str(port)], environment, workdir, recipe.env)
    assert (status, outputs_of(answer)) == (200, expected)

    # The Deployment's own command, on the same image.
    deployment = next(yaml.safe_load_all((exported / "manifests.yaml").read_text()))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    port = free_port()
    with started(at_port(container["command"], port), environment, workdir, port, recipe.env) as address:
        assert outputs_of(ask(address, rows)[1]) == expected

    # Planted: an answer that is not the one of the export, and the build's own line stops the build.
    package = next(environment.rglob("delay_model/files/examples.json"))
    examples = json.loads(package.read_text())
    examples[3]["answer"] = examples[4]["answer"]
    package.write_text(json.dumps(examples))
    check = next(text for name, text in recipe.steps if name == "RUN" and text.endswith(" check"))
    with pytest.raises(AssertionError, match="1 different, the first: example 3"):
        run(["/bin/sh", "-ec", check], environment, workdir)


@pytest.mark.long
def test_a_bundle_for_elastic_beanstalk_installs_and_answers_by_its_procfile(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    registered(sqlite_project, "delay", forest(), inputs())
    rows = rows_of(inputs(seed=5, rows=60))
    bundle = export_model(sqlite_project, "delay@v1", "elastic-beanstalk", tmp_path).path
    staging = tmp_path / "staging"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(staging)
    environment = make_environment(tmp_path / "environment")

    # The platform installs requirements.txt in the folder of the bundle, then runs the Procfile's lines.
    run(["python", "-m", "pip", "install", "--no-compile", "-r", "requirements.txt"], environment, staging)

    lines = (staging / "Procfile").read_text().splitlines()
    assert all(PROCFILE.fullmatch(line) for line in lines)
    processes = dict(line.split(": ", 1) for line in lines)
    command = processes["web"].split()
    assert command[-2:] == ["--port", "8000"]
    port = free_port()
    with started(at_port(command, port), environment, staging, port) as address:
        status, answer = ask(address, rows)
    assert (status, outputs_of(answer)) == (200, load(sqlite_project, "delay@v1").predict(rows))
    settings = yaml.safe_load((staging / ".ebextensions" / "health.config").read_text())["option_settings"]
    assert settings["aws:elasticbeanstalk:environment:process:default"] == {"HealthCheckPath": "/readyz"}
