"""Notebooks as files: their code, their parameters, the modules of the project that they import."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headwater.canonical import digest_of
from headwater.errors import InvalidInputError, NotFoundError

from .facts import read_facts
from .reads import ABSENT

PARAMETERS = "parameters"
INJECTED = "injected-parameters"
FOLDER = "notebooks"
"""Where the artefacts of notebook steps lie in a run."""


class ExecutedNotebook(bytes):
    """The .ipynb file of a notebook that was run, with its outputs."""

    def cells(self) -> list[dict[str, Any]]:
        """Return its cells."""
        found: list[dict[str, Any]] = json.loads(self)["cells"]
        return found


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the document of a notebook.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it is no notebook of format 4, or its language is not Python.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(f"there is no notebook '{path}'.", path=str(path)) from None
    except ValueError as error:
        raise InvalidInputError(f"'{path}' is not a notebook: {error}.", path=str(path)) from error
    if not isinstance(found, dict) or found.get("nbformat") != 4 or not isinstance(found.get("cells"), list):
        raise InvalidInputError(
            f"'{path}' is not a notebook of format 4. Open it in Jupyter and save it, which converts it.",
            path=str(path),
        )
    language = found.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    if language != "python":
        raise InvalidInputError(
            f"'{path}' is a notebook of {language}, and notebook steps run Python. Run it as a command step instead.",
            path=str(path),
        )
    return found


def source_of(cell: dict[str, Any]) -> str:
    """Return a cell's text, which the format keeps whole or as lines."""
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(text)


def has_tag(cell: dict[str, Any], tag: str) -> bool:
    """Tell whether a cell is tagged so."""
    return tag in cell.get("metadata", {}).get("tags", ())


def declared_parameters(document: dict[str, Any]) -> dict[str, str]:
    """Return the names that the cell tagged ``parameters`` assigns, with their defaults as written."""
    found: dict[str, str] = {}
    for cell in document["cells"]:
        if cell.get("cell_type") == "code" and has_tag(cell, PARAMETERS):
            for node in ast.parse(_plain(source_of(cell))).body:
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                value = getattr(node, "value", None)
                found.update(
                    {each.id: ast.unparse(value) if value else "" for each in targets if isinstance(each, ast.Name)}
                )
    return found


def code_identity(path: Path, root: Path) -> str:
    """Return the digest of a notebook's code cells and of the project's modules that they reach; no outputs.

    Comments and formatting do not count, nor does text between the cells. Modules count whole.
    """
    try:
        document = read_notebook(path)
    except NotFoundError:
        return ABSENT
    cells = [each for each in document["cells"] if each.get("cell_type") == "code"]
    texts = [source_of(cell) for cell in cells]
    modules = _reached(texts, root)
    code = [[has_tag(cell, PARAMETERS), _normalised(text)] for cell, text in zip(cells, texts, strict=True)]
    return digest_of([code, sorted(modules.items())])


def _reached(texts: list[str], root: Path) -> dict[str, str]:
    """Return the digest of each module of the project that code imports, and of those that they import."""
    found: dict[str, str] = {}
    waiting = [(name, "") for text in texts for name in _imported(_plain(text), "")]
    while waiting:
        name, _ = waiting.pop()
        path = _module_file(name, root)
        if path is None or name in found:
            continue
        source = path.read_bytes()
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found[name] = read_facts(name, package, source).digest
        waiting += [(each, package) for each in _imported(source.decode("utf-8", "replace"), package)]
    return found


def _imported(text: str, package: str) -> Iterator[str]:
    """Yield the names of modules that code may import, each with the packages it lies in."""
    from .facts import absolute

    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = absolute(package, node.module, node.level)
            names = [source, *(f"{source}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: count + 1]) for count in range(len(parts)))


def _module_file(name: str, root: Path) -> Path | None:
    parts = name.split(".")
    for base in (root, root / "src"):
        for path in (base.joinpath(*parts).with_suffix(".py"), base.joinpath(*parts, "__init__.py")):
            if all(parts) and path.is_file():
                return path
    return None


def _plain(text: str) -> str:
    """Return a cell's Python: lines for the notebook's own shell become ``pass``."""
    if text.startswith("%%"):
        return ""
    lines = text.splitlines()
    return "\n".join(
        line[: len(line) - len(line.lstrip())] + "pass" if line.lstrip().startswith(("%", "!", "?")) else line
        for line in lines
    )


def _normalised(text: str) -> str:
    """Return code without comments and formatting; as it is where it is not plain Python."""
    if _plain(text) != "\n".join(text.splitlines()):
        return text.strip()
    try:
        return ast.dump(ast.parse(text), annotate_fields=False)
    except (SyntaxError, ValueError):
        return text.strip()
