"""A memory of another tool, asked by lines: ``remember.py joblib|prefect|dvc FOLDER`` with FOLDER a project.

For each line on its input it answers, as JSON, which calls of steps it remembers: the first line makes it remember
what is there. The project's steps are plain functions to it: ``headwater`` is replaced by two decorators that do
nothing but say who is called. Runs in the tool's own environment, without Headwater.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

Take = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], None]


def pretend(take: Take) -> None:
    """Put two decorators in the place of Headwater: a call of a step goes to ``take``, a flow is its function."""

    def step(function: Any = None, **options: Any) -> Any:
        def mark(given: Any) -> Any:
            return lambda *args, **kwargs: take(given, args, kwargs)

        return mark(function) if function is not None else mark

    def flow(function: Any = None, **options: Any) -> Any:
        return function if function is not None else lambda given: given

    package, inner = types.ModuleType("headwater"), types.ModuleType("headwater.flow")
    package.__path__ = []
    for module in (package, inner):
        module.step, module.flow = step, flow  # type: ignore[attr-defined]  # made here
    sys.modules.update({"headwater": package, "headwater.flow": inner})


def each_call(folder: Path, take: Take) -> None:
    """Import the project's flow afresh and have ``take`` called with each call of a step."""
    pretend(take)
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(folder), str(folder.parent / "site")]
    os.chdir(folder)
    __import__("flows").main()


def in_child(work: Callable[[], Any]) -> Any:
    """Return what ``work`` gives in a child of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "w") as pipe:
                json.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else []


def with_joblib(folder: Path) -> list[Any]:
    """``joblib.Memory``: a call is remembered when the function's own code was not run."""
    import warnings

    from joblib import Memory  # type: ignore[import-untyped, unused-ignore]

    warnings.simplefilter("ignore")
    memory, said = Memory(folder.parent / "joblib", verbose=0), []

    def take(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ran = []
        sys.setprofile(lambda frame, event, _: ran.append(1) if frame.f_code is function.__code__ else None)
        try:
            memory.cache(function)(*args, **kwargs)
        except Exception:  # noqa: BLE001  # an edit may make a step raise anything: then it ran
            ran.append(1)
        sys.setprofile(None)
        said.append([function.__name__, not ran])

    each_call(folder, take)
    return said


def with_prefect(folder: Path, known: dict[str, str]) -> list[Any]:
    """Prefect's cache policy INPUTS + TASK_SOURCE: a call is remembered when its key is one of those there were."""
    from prefect import task  # type: ignore[import-not-found, unused-ignore]
    from prefect.cache_policies import INPUTS, TASK_SOURCE  # type: ignore[import-not-found, unused-ignore]

    said: list[Any] = []

    def take(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names = function.__code__.co_varnames
        inputs = {**dict(zip(names, args, strict=False)), **kwargs}
        context = types.SimpleNamespace(task=task(function))
        key = (INPUTS + TASK_SOURCE).compute_key(task_ctx=context, inputs=inputs, flow_parameters={})
        place = f"{function.__name__} {sum(1 for name, *_ in said if name == function.__name__)}"
        said.append([function.__name__, known.get(place) == key, place, key])

    each_call(folder, take)
    return said


def with_dvc(folder: Path) -> list[Any]:
    """DVC: a stage per step, each of which depends on every file of the project, which is what its user can say."""
    from dvc.repo import Repo  # type: ignore[import-not-found, unused-ignore]

    steps = in_child(lambda: _names(folder))
    home = folder.parent
    os.chdir(home)
    if not (home / "dvc.yaml").exists():
        subprocess.run(["git", "init", "-q", "."], cwd=home, check=True)
        Repo.init(str(home)).close()
        stages = {
            f"s{number}": {"cmd": f"echo {number} > out{number}", "deps": [folder.name], "outs": [f"out{number}"]}
            for number in range(len(steps))
        }
        (home / "dvc.yaml").write_text(json.dumps({"stages": stages}))
        with Repo(str(home)) as repo:
            repo.reproduce()
    with Repo(str(home)) as repo:
        changed = repo.status()
    return [[name, f"s{number}" not in changed] for number, name in enumerate(steps)]


def _names(folder: Path) -> list[str]:
    names: list[str] = []
    each_call(folder, lambda function, args, kwargs: names.append(function.__name__))
    return names


def main() -> None:
    """Answer each line."""
    tool, folder = sys.argv[1], Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a tool prints is no answer
    known: dict[str, str] = {}
    if tool == "prefect":
        import prefect.cache_policies  # type: ignore[import-not-found, unused-ignore]  # noqa: F401  # once, for all
    for line in sys.stdin:
        os.environ.update(json.loads(line))
        if tool == "joblib":
            said = in_child(lambda: with_joblib(folder))
        elif tool == "prefect":
            said = in_child(partial(with_prefect, folder, known))
            known = known or {place: key for _, _, place, key in said}
        else:
            said = with_dvc(folder)
        print(json.dumps([each[:2] for each in said]), file=answers, flush=True)
        for name in json.loads(line):
            os.environ.pop(name, None)


if __name__ == "__main__":
    main()
