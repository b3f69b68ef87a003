"""Replaying 10,000 random predictions over 20 versions in a fresh process, from an exported bundle; planted changes.

The predictions came alone, in batches and micro-batched, from trees, linear models and networks. The floor computes
the same batches with onnxruntime and nothing else. Changes are planted into copies of the bundle whose manifest says
that all is well: an answer's last bit, a row that was another, a model that was another. Each must be named.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.process import run
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Goal, MeasureError, Quantity, Sample
from headwater import canonical
from headwater.trace.bundle import BATCHES, MANIFEST, file_digest

PREDICTIONS = 10_000
VERSIONS = 20
PLANTED = 50
BARE = "onnxruntime alone"
TOGETHER = '\n[serve.models.tumour]\nbatching = "on"\n'
RATE = Quantity("predictions replayed", "/s", "higher", cpu_unit="s")
UNEQUAL = Quantity("predictions that did not come out byte for byte", "", "lower", Goal(0.0))
UNREPORTED = Quantity("planted changes that were not named", "", "lower", Goal(0.0))
Rows = list[dict[str, Any]]


@contextmanager
def replay(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the replay of the bundle, and of copies with planted changes."""
    folder = setting.place / "replay"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = setting.much(PREDICTIONS)
    project = new_project(folder)
    with (project / "headwater.toml").open("a") as settings:
        settings.write(TOGETHER)
    run([PYTHON, PROGRAMS / "replay_fill.py", str(wanted + wanted // 10)], project)
    bundle = folder / "bundle"
    run([HW, "replay", "export", bundle, "--sample", str(wanted), "--seed", "7"], project)
    shutil.rmtree(project)  # what is replayed has nothing else to ask
    require_mixed(bundle, wanted)
    yield [
        Comparison(
            f"replay of {wanted:,} predictions over {VERSIONS} versions",
            (RATE, UNEQUAL),
            (
                Contender("hw replay bundle", "us", lambda place: _replayed(bundle, wanted, place)),
                Contender(BARE, "floor", lambda place: _computed(bundle, place)),
            ),
            warm=True,
        ),
        Comparison(
            "replay, planted changes",
            (UNREPORTED,),
            (Contender("hw replay bundle", "us", lambda place: _planted(bundle, place)),),
            once=True,
        ),
    ]


def require_mixed(bundle: Path, wanted: int) -> None:
    """Raise MeasureError unless the bundle has rows of all versions, alone, and computed together with others."""
    rows = read_rows(bundle)
    versions, sizes = {row["version"] for row in rows}, {row["batch_size"] for row in rows}
    asked = len(json.loads((bundle / MANIFEST).read_text())["predictions"])
    if asked != wanted or len(versions) != VERSIONS or min(sizes) != 1 or max(sizes) <= 12:
        raise MeasureError(
            f"the bundle asks for {asked:,} predictions of {len(versions)} versions in batches of {min(sizes)} to "
            f"{max(sizes)} rows: {wanted:,} of {VERSIONS} were wanted, some alone and some micro-batched"
        )


def read_rows(bundle: Path) -> Rows:
    """Return the rows of a bundle's batches."""
    return [json.loads(line) for line in (bundle / BATCHES).read_text().splitlines()]


def _replayed(bundle: Path, wanted: int, place: Path) -> dict[str, Sample]:
    done = run([HW, "--json", "replay", "bundle", bundle], place)
    report = json.loads(done.output)
    if report["asked"] != wanted or report["findings"]:
        raise MeasureError(f"{report['asked']:,} predictions were replayed, with {len(report['findings'])} findings")
    return {
        RATE.name: Sample(wanted / done.wall_s, done.cpu_s),
        UNEQUAL.name: Sample(wanted - report["equal"]),
    }


def _computed(bundle: Path, place: Path) -> dict[str, Sample]:
    done = run([PYTHON, PROGRAMS / "replay_floor.py", bundle], place)
    found = json.loads(done.output)
    return {RATE.name: Sample(found["rows"] / done.wall_s, done.cpu_s)}


# ---- planted changes: each is told by the predictions of which at least one must be named


def _planted(bundle: Path, place: Path) -> dict[str, Sample]:
    unreported = 0
    for number, plant in enumerate((_flip_last_bits, _swap_rows, _swap_model)):
        copy = place / plant.__name__.strip("_")
        shutil.copytree(bundle, copy)
        planted = plant(copy, random.Random(number))
        report = _report(copy, place)
        named = {each["prediction"] for each in report["different"]}
        unreported += sum(each.isdisjoint(named) for each in planted)
        if report["findings"]:
            raise MeasureError(f"{plant.__name__}: the files were said to be changed, so that nothing was computed")
    # A flipped byte of any file, with the manifest as it was: named, and nothing is computed.
    for name in (BATCHES, next(path.name for path in (bundle / "models").iterdir())):
        copy = place / f"flipped-{name[:12]}"
        shutil.copytree(bundle, copy)
        file = copy / name if (copy / name).exists() else copy / "models" / name
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        report = _report(copy, place)
        unreported += not any(name in each["what"] for each in report["findings"]) or report["equal"] > 0
    return {UNREPORTED.name: Sample(unreported)}


def _report(bundle: Path, place: Path) -> Any:
    done = run([HW, "--json", "replay", "bundle", bundle], place, expected=1)
    return json.loads(done.output)


def _flip_last_bits(bundle: Path, chance: random.Random) -> list[set[str]]:
    """Flip the last bit of the probability of some answers."""

    def flip(row: dict[str, Any], rows: Rows) -> None:
        outputs = _values(row["outputs"])
        bits = canonical.float_bits(outputs["probability"]) ^ 1
        row["outputs"] = _text({**outputs, "probability": canonical.float_from_bits(bits)})

    return _change_rows(bundle, chance, flip)


def _swap_rows(bundle: Path, chance: random.Random) -> list[set[str]]:
    """Give some predictions the inputs of another row, one that got another answer of the same version."""

    def swap(row: dict[str, Any], rows: Rows) -> None:
        others = [each for each in rows if each["version"] == row["version"] and each["outputs"] != row["outputs"]]
        row["inputs"] = chance.choice(others)["inputs"]

    return _change_rows(bundle, chance, swap)


def _swap_model(bundle: Path, chance: random.Random) -> list[set[str]]:
    """Put another version's file in the place of one: some answers, not all, are the same by both."""
    models = json.loads((bundle / "models.json").read_text())
    first, second = chance.sample(models, 2)
    digests = [next(f["digest"] for f in each["files"] if f["flavour"] == each["flavour"]) for each in (first, second)]
    shutil.copyfile(bundle / "models" / digests[1], bundle / "models" / digests[0])
    _approve(bundle, f"models/{digests[0]}")
    wanted = set(json.loads((bundle / MANIFEST).read_text())["predictions"])
    return [{row["prediction"] for row in read_rows(bundle) if row["version"] == first["id"]} & wanted]


def _change_rows(bundle: Path, chance: random.Random, change: Callable[[dict[str, Any], Rows], None]) -> list[set[str]]:
    rows = read_rows(bundle)
    wanted = set(json.loads((bundle / MANIFEST).read_text())["predictions"])
    chosen = chance.sample([row for row in rows if row["prediction"] in wanted], min(PLANTED, len(wanted)))
    for row in chosen:
        change(row, rows)
    (bundle / BATCHES).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    _approve(bundle, BATCHES)
    return [{row["prediction"]} for row in chosen]


def _approve(bundle: Path, name: str) -> None:
    """Let the manifest say that a changed file is what it should be."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    file = bundle / name
    manifest["files"][name] = {"digest": file_digest(file), "size": file.stat().st_size}
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def _values(text: str) -> dict[str, Any]:
    found: dict[str, Any] = canonical.decode(base64.b64decode(text))
    return found


def _text(values: dict[str, Any]) -> str:
    return base64.b64encode(canonical.encode(values)).decode()
