"""The page on growing, played: each command in order, between a folder, a database and a bucket."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.check import publish
from headwater.project import create_project
from tests.docs.pages import ROOT, blocks, shell_lines
from tests.lake.test_versions import entry
from tests.servers.s3 import S3Place


@pytest.mark.long
def test_a_project_grows_as_the_page_says(tmp_path: Path, postgres_url: str, s3: S3Place) -> None:
    page = (ROOT / "docs" / "how-to" / "grow-to-postgres-and-s3.md").read_text(encoding="utf-8")
    with create_project(tmp_path / "shop") as shop:
        publish(shop, "orders", put=[entry(shop, "a", "a")], message="first orders")
    place = {
        "SHOP_LEDGER": postgres_url,
        "SHOP_OBJECTS": f"s3://{s3.bucket}/{s3.prefix}",
        "SHOP_S3": s3.endpoint,
        "SHOP_S3_KEY": s3.access_key,
        "SHOP_S3_SECRET": s3.secret_key,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    said = []
    for block in blocks(page):
        if block.file:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        for line in shell_lines(block) if block.language == "console" else ():
            ended = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, env=os.environ | place, capture_output=True, text=True, check=False
            )
            said.append(f"$ {line}\n{ended.stdout}{ended.stderr}")
            assert ended.returncode == 0, "\n".join(said)

    assert "first orders" in said[-1]
    assert sum("the same:" in each for each in said) == 3
