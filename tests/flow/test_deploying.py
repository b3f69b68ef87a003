"""Manifests and machine files: valid by the published schemas, and nothing from options slips into another place."""

from __future__ import annotations

import subprocess
import tomllib
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from headwater.errors import InvalidInputError
from headwater.flow.deploying import render_cluster, render_worker

KUBERNETES = ("1.31", "1.34")


def documents(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def check(document: dict[str, Any], version: str) -> None:
    import kubernetes_validate  # type: ignore[import-untyped]  # it has no types

    kubernetes_validate.validate(document, version, strict=True)


def cluster(**options: Any) -> str:
    return render_cluster(image="registry.example/team/steps:1", objects="s3://data/shop", **options)


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_manifest_is_valid_by_the_strict_schema(version: str) -> None:
    found = documents(cluster(labels=["gpu", "zone=a"], region="eu-west-1", endpoint="https://s3.example", workers=3))
    for document in found:
        check(document, version)

    kinds = [document["kind"] for document in found]
    assert kinds == ["ConfigMap", "Service", "NetworkPolicy", "Deployment", "Deployment", "Deployment"]


def test_a_misspelled_field_is_caught_by_the_same_check() -> None:
    import kubernetes_validate

    document = documents(cluster())[3]
    document["spec"]["replicaz"] = 2

    with pytest.raises(kubernetes_validate.ValidationError):
        check(document, KUBERNETES[-1])


def test_options_arrive_where_they_belong() -> None:
    found = documents(cluster(name="shop", secret="keys", dask_workers=5, threads=3, memory="7Gi", labels=["gpu"]))
    dask, worker = (document["spec"] for document in found[4:])
    container = dask["template"]["spec"]["containers"][0]

    assert dask["replicas"] == 5 and container["resources"]["limits"] == {"memory": "7Gi"}
    assert container["args"][:5] == ["dask", "worker", "tcp://shop-scheduler:8786", "--nthreads", "3"]
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert worker["template"]["spec"]["containers"][0]["args"][-2:] == ["--label", "gpu"]
    settings = tomllib.loads(found[0]["data"]["headwater.toml"])
    assert settings["stores"]["ledger"] == "env:HEADWATER_LEDGER" and settings["stores"]["objects"] == "s3://data/shop"


@pytest.mark.parametrize(
    "options",
    [{"name": "Shop"}, {"secret": "a b"}, {"cpu": "2 cores"}, {"labels": ["gpu; reboot"]}, {"memory": "much"}],
)
def test_what_would_be_read_otherwise_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        cluster(**options)


def test_the_machine_file_is_cloud_config_with_a_script_that_a_shell_accepts() -> None:
    text = render_worker(objects="s3://data/shop", labels=["gpu", "big"], package="headwater[postgres,dask]==1.0; true")
    (document,) = documents(text)
    files = {each["path"]: each["content"] for each in document["write_files"]}
    script = files["/etc/headwater/setup.sh"]
    unit = files["/etc/systemd/system/headwater-worker.service"]

    assert text.startswith("#cloud-config\n")
    assert set(document) == {"package_update", "packages", "users", "write_files", "runcmd"}
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    assert subprocess.run(["sh", "-n"], input=script + "\nif true", text=True, check=False).returncode != 0
    assert "'headwater[postgres,dask]==1.0; true'" in script  # one word for the shell
    assert "worker --no-scheduler --label gpu --label big" in unit
    assert tomllib.loads(files["/etc/headwater/headwater.toml"])["stores"]["objects"] == "s3://data/shop"
    assert "AWS_SECRET" not in unit and "postgresql://" not in script


@pytest.mark.long
def test_the_script_lays_the_project_out_in_a_clean_folder(tmp_path: Any) -> None:
    import os
    import sys
    from pathlib import Path

    (document,) = documents(render_worker(objects="s3://data/shop", package="pip"))
    files = {each["path"]: each["content"] for each in document["write_files"]}
    settings = tmp_path / "headwater.toml"
    settings.write_text(files["/etc/headwater/headwater.toml"])
    script = tmp_path / "setup.sh"
    # Installing is left out: what pip would fetch is no part of this test, and 'hw' is the one that runs it.
    lines = files["/etc/headwater/setup.sh"].splitlines()
    script.write_text("\n".join(line for line in lines if " -m pip install" not in line and "/bin/hw" not in line))
    bins = Path(sys.executable).parent
    done = subprocess.run(
        ["sh", str(script)],
        env={
            "PATH": f"{bins}:{os.environ['PATH']}", "HEADWATER_HOME": str(tmp_path / "home"),
            "HEADWATER_STATE": str(tmp_path / "state"), "HEADWATER_SETTINGS": str(settings),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "home" / "bin" / "python").exists()
    laid = tomllib.loads((tmp_path / "state" / "project" / "headwater.toml").read_text())
    assert laid["project"]["name"] == "headwater" and laid["stores"]["s3"]["access_key"] == "env:AWS_ACCESS_KEY_ID"
