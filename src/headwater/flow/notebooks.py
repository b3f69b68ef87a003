"""Notebook steps: parameters in, the executed notebook and declared variables out, remembered like any step.

The cells run in a kernel of their own, in the project's folder. A notebook that uses its variables in Jupyter needs no
change to become a step: its parameters are what the cell tagged ``parameters`` assigns, as papermill has it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from headwater.errors import InvalidInputError, MissingExtraError, UserCodeError

from .commands import fresh_folder
from .made import made_function
from .notebook_files import (
    FOLDER,
    INJECTED,
    PARAMETERS,
    ExecutedNotebook,
    declared_parameters,
    has_tag,
    read_notebook,
    source_of,
)
from .notebook_kernel import GIVEN, OUTPUTS, READS, keep, kept
from .reads import ReadItem
from .steps import Step, step
from .unwatched import unwatched

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_SOURCE_LINES = 30
_NAME = "headwater_given"


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """A notebook step as it was declared."""

    path: str
    name: str
    outputs: tuple[str, ...]
    seed: int | None


def notebook(
    path: str,
    *,
    parameters: Mapping[str, Any] | Sequence[str] = (),
    outputs: Sequence[str] = (),
    name: str = "",
    **options: Any,
) -> Step[..., Any]:
    """Return a step that runs a notebook of the project.

    ``parameters`` names what the step takes, a mapping with defaults; the notebook's cell tagged ``parameters`` has to
    assign each, and what is given is assigned in a cell after it. ``outputs`` names variables that the notebook
    leaves: the step's result is a mapping of them and of ``notebook``, the executed file. A cell that raises fails the
    step with its number, source and traceback. Other ``options`` are those of ``step``.

    Raises:
        InvalidInputError: the declaration contradicts itself; the message names what.
    """
    if isinstance(outputs, str) or isinstance(parameters, str):
        raise InvalidInputError("parameters and outputs of a notebook are lists of names: outputs=['score'].")
    if os.path.isabs(path) or ".." in PurePosixPath(path).parts:
        raise InvalidInputError(f"the notebook '{path}' has to lie in the project: give its path from there.")
    if "notebook" in outputs:
        raise InvalidInputError("'notebook' is the executed file in the step's result; call the variable otherwise.")
    called = name or re.sub(r"\W", "_", PurePosixPath(path).stem)
    wrong = next((each for each in (*parameters, *outputs, called) if not each.isidentifier()), None)
    if wrong is not None:
        raise InvalidInputError(f"the notebook {path}: '{wrong}' is no name in Python.")
    spec = Spec(path=path, name=called, outputs=tuple(outputs), seed=options.get("seed"))
    defaults = dict(parameters) if isinstance(parameters, Mapping) else {}
    function = made_function(
        called, list(parameters), defaults, lambda arguments: _run(spec, arguments), sys._getframe(1),
        f"Run the notebook {path}.",
    )  # fmt: skip
    declared = (path, *options.get("notebooks", ()))
    return step(**{**options, "notebooks": declared})(function)


def _run(spec: Spec, arguments: dict[str, Any]) -> dict[str, Any]:
    # The kernel watches its cells itself. Here only the notebook's file is opened, whose old outputs do not count.
    with unwatched():
        return _run_cells(spec, arguments, Path.cwd())


def _run_cells(spec: Spec, arguments: dict[str, Any], root: Path) -> dict[str, Any]:
    document = read_notebook(root / spec.path)
    _check_parameters(spec, document, arguments)
    _require_nbclient()
    with fresh_folder() as folder:
        literal = {name: value for name, value in arguments.items() if _is_literal(value)}
        keep({n: v for n, v in arguments.items() if n not in literal}, "a parameter", folder / GIVEN)
        made = json.loads(json.dumps(document))
        _inject(made, arguments, literal)
        failure = _execute(spec, made, folder, root)
        executed = ExecutedNotebook(json.dumps(made, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n")
        _note_reads(folder / READS)
        _keep_artefact(spec, executed)
        if failure is not None:
            raise failure
        return {**kept(folder / OUTPUTS), "notebook": executed}


def _check_parameters(spec: Spec, document: dict[str, Any], arguments: Mapping[str, Any]) -> None:
    declared = declared_parameters(document)
    unknown = [name for name in arguments if name not in declared]
    if unknown:
        listed = ", ".join(declared) or f"none: tag the cell that assigns them '{PARAMETERS}'"
        raise InvalidInputError(
            f"the notebook {spec.path} has no parameter '{unknown[0]}'; its parameters are {listed}.", name=unknown[0]
        )


def _is_literal(value: Any) -> bool:
    if value is None or type(value) in (bool, int, str):
        return True
    if type(value) is float:
        return value - value == 0
    if type(value) in (list, tuple):
        return all(_is_literal(each) for each in value)
    return type(value) is dict and all(_is_literal(k) and _is_literal(v) for k, v in value.items())


def _inject(document: dict[str, Any], arguments: Mapping[str, Any], literal: Mapping[str, Any]) -> None:
    """Put the cell that assigns what was given after the one that holds the defaults."""
    cells = [cell for cell in document["cells"] if not has_tag(cell, INJECTED)]
    lines = [f"{name} = {value!r}" for name, value in literal.items()]
    for name, value in arguments.items():
        if name not in literal:
            lines.append(f"{name} = {_NAME}[{name!r}]  # a {type(value).__name__} that the flow gave")
    if lines:
        cell: dict[str, Any] = {
            "cell_type": "code", "metadata": {"tags": [INJECTED]}, "source": "\n".join(lines),
            "outputs": [], "execution_count": None,
        }  # fmt: skip
        if document.get("nbformat_minor", 0) >= 5:
            cell["id"] = INJECTED
        after = max((n for n, each in enumerate(cells) if has_tag(each, PARAMETERS)), default=-1)
        cells.insert(after + 1, cell)
    for cell in cells:
        cell["source"] = source_of(cell)
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    document["cells"] = cells


def _require_nbclient() -> None:
    for package in ("nbclient", "nbformat", "ipykernel"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtraError(package, "notebook", "running a notebook") from None


def _execute(spec: Spec, document: dict[str, Any], folder: Path, root: Path) -> UserCodeError | None:
    """Run the cells, filling in their outputs; return what a cell raised, as an error that shows it."""
    import nbformat
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    tree: Any = nbformat.from_dict(document)  # type: ignore[no-untyped-call]  # it has types for some functions
    # Over sockets of files: others on the machine cannot connect, and no port is taken. Their paths have to be short.
    with tempfile.TemporaryDirectory(prefix="hw-") as short:
        manager = AsyncKernelManager(transport="ipc", ip=f"{short}/k", connection_file=f"{short}/k.json")
        client = NotebookClient(
            tree, km=manager, kernel_name="python3", timeout=None, record_timing=False,
            resources={"metadata": {"path": str(root)}},
            extra_arguments=["--HistoryManager.enabled=False", "--IPCompleter.use_jedi=False"],
        )  # fmt: skip
        environ = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        at = {"cell": -1}
        try:
            asyncio.run(_play(client, spec, folder, root, environ, at))
            return None
        except CellExecutionError as error:
            trace = _COLOURS.sub("", "\n".join(_traceback_of(tree.cells[at["cell"]])) or str(error))
            return _failure(spec, tree, at["cell"], f"raised {error.ename}: {error.evalue}", trace)
        except DeadKernelError:
            return _failure(spec, tree, at["cell"], "ended the kernel's process: it ran out of memory, or exited", "")
        finally:
            document.update(json.loads(json.dumps(tree)))


async def _play(client: Any, spec: Spec, folder: Path, root: Path, environ: dict[str, str], at: dict[str, int]) -> None:
    own = "headwater.flow.notebook_kernel"
    async with client.async_setup_kernel(env=environ, cleanup_kc=True):
        client.nb.metadata.pop("widgets", None)
        await _hidden(
            client,
            f"from {own} import begin as _b\n{_NAME} = _b({str(folder)!r}, {str(root)!r}, {spec.seed!r})\ndel _b",
        )
        count = sum(cell.cell_type == "code" for cell in client.nb.cells)
        done = 0
        for index, cell in enumerate(client.nb.cells):
            if cell.cell_type != "code":
                continue
            done += 1
            at["cell"] = index
            try:
                await client.async_execute_cell(cell, index, execution_count=done)
            finally:
                _say(cell, f"{spec.path}: cell {done} of {count}")
        at["cell"] = -1
        await _hidden(
            client, f"from {own} import end as _e\n_e({str(folder)!r}, {list(spec.outputs)!r}, globals())\ndel _e"
        )


async def _hidden(client: Any, code: str) -> None:
    message = client.kc.execute(code, silent=True, store_history=False)
    reply = await client.async_wait_for_reply(message)
    content = reply["content"] if reply else {}
    if content.get("status") == "error":
        raise UserCodeError(f"{content.get('ename')}: {content.get('evalue')}", "")


def _say(cell: Any, head: str) -> None:
    """Pass on what a cell printed to the step's own log."""
    for output in cell.get("outputs", ()):
        if output.get("output_type") == "stream":
            stream = sys.stderr if output.get("name") == "stderr" else sys.stdout
            stream.write(_COLOURS.sub("", output["text"]))
    sys.stdout.write(f"{head}\n")
    sys.stdout.flush()
    sys.stderr.flush()


def _traceback_of(cell: Any) -> list[str]:
    return [line for output in cell.get("outputs", ()) for line in output.get("traceback", ())]


def _failure(spec: Spec, tree: Any, index: int, what: str, trace: str) -> UserCodeError:
    code = [n for n, cell in enumerate(tree.cells) if cell.cell_type == "code"]
    number = code.index(index) + 1 if index in code else 0
    lines = source_of(tree.cells[index]).splitlines() if number else []
    shown = "\n".join(f"    {line}" for line in lines[:_SOURCE_LINES])
    text = f"code cell {number} of {spec.path} {what}\nThe cell:\n{shown}"
    return UserCodeError(f"{text}\n{trace}".rstrip(), trace)


def _note_reads(path: Path) -> None:
    """Make what the kernel read part of what the step read."""
    from . import watching

    if watching.active is not None and path.exists():
        for each in msgspec.msgpack.decode(path.read_bytes(), type=list[ReadItem]):
            watching.active.reads.setdefault((each.kind, each.name), each)


def _keep_artefact(spec: Spec, executed: ExecutedNotebook) -> None:
    from .current import active_run, current_task_id

    run = active_run()
    if run is not None:
        run.artefact(
            bytes(executed), f"{FOLDER}/{current_task_id() or spec.name}/{PurePosixPath(spec.path).name}",
            media="application/x-ipynb+json",
        )  # fmt: skip
