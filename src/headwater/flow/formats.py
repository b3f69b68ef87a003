"""The built-in formats of leaves: bytes, npy, Parquet, skops, code, and pickle as the last resort.

Libraries are looked for only where a value of theirs is at hand, so nothing heavy is imported to save a number.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from pathlib import Path
from typing import Any, BinaryIO

from . import frame_files
from .saving import Format


def _of(value: Any, package: str, *names: str) -> bool:
    """Tell whether a value is of a class of that name and package, or of a subclass."""
    return any(each.__name__ in names and each.__module__.split(".")[0] == package for each in type(value).__mro__)


def _is_array(value: Any) -> bool:
    return type(value).__name__ == "ndarray" and _of(value, "numpy", "ndarray") and not value.dtype.hasobject


def _save_npy(value: Any) -> bytes:
    out = io.BytesIO()
    _write_npy(value, out)
    return out.getvalue()


def _write_npy(value: Any, file: BinaryIO) -> bool:
    import numpy as np

    np.lib.format.write_array(file, value, allow_pickle=False)
    return True


def _load_npy(data: bytes) -> Any:
    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=False)


def _read_npy(path: Path) -> Any:
    """Return the array mapped from the file: what a step writes into it stays in the step's own memory."""
    import numpy as np

    try:
        return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    except ValueError:  # of a kind that numpy does not map
        return np.load(path, allow_pickle=False)


def _is_scalar(value: Any) -> bool:
    return _of(value, "numpy", "generic") and not value.dtype.hasobject


def _load_scalar(data: bytes) -> Any:
    return _load_npy(data)[()]


def _is_pandas(value: Any) -> bool:
    return type(value).__name__ in ("DataFrame", "Series") and _of(value, "pandas", "DataFrame", "Series")


def _is_polars(value: Any) -> bool:
    return type(value).__name__ == "DataFrame" and _of(value, "polars", "DataFrame")


def _is_arrow(value: Any) -> bool:
    return type(value).__name__ == "Table" and _of(value, "pyarrow", "Table")


def _write_bytes(value: Any, file: BinaryIO) -> bool:
    file.write(value)
    return True


def _read_bytearray(path: Path) -> bytearray:
    made = bytearray(path.stat().st_size)
    with path.open("rb") as file:
        file.readinto(made)
    return made


def _is_estimator(value: Any) -> bool:
    return "sklearn" in sys.modules and _of(value, "sklearn", "BaseEstimator")


def _save_skops(value: Any) -> bytes | None:
    from . import skops_files

    return skops_files.save(value)


def _load_skops(data: bytes) -> Any:
    from . import skops_files

    return skops_files.load(data)


def _is_code(value: Any) -> bool:
    if isinstance(value, types.ModuleType):
        return True
    if not isinstance(value, types.FunctionType | type):
        return False
    return "<" not in value.__qualname__ and _found(value.__module__, value.__qualname__) is value


def _save_code(value: Any) -> bytes:
    if isinstance(value, types.ModuleType):
        return f"{value.__name__}:".encode()
    return f"{value.__module__}:{value.__qualname__}".encode()


def _load_code(data: bytes) -> Any:
    import importlib

    module, _, name = data.decode().partition(":")
    importlib.import_module(module)
    return _found(module, name) if name else sys.modules[module]


def _found(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _save_pickle(value: Any) -> bytes | None:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001  # whatever a class's own pickling raises means the same here
        return None


def _load_pickle(data: bytes) -> Any:
    return pickle.loads(data)


def _is_notebook(value: Any) -> bool:
    return type(value).__name__ == "ExecutedNotebook" and _of(value, "headwater", "ExecutedNotebook")


def _load_notebook(data: bytes) -> Any:
    from .notebook_files import ExecutedNotebook

    return ExecutedNotebook(data)


def why_not(value: Any) -> str:
    """Return why pickle, the last resort, does not take a value."""
    code = getattr(value, "__code__", None)
    if code is not None and ("<locals>" in value.__qualname__ or value.__name__ == "<lambda>"):
        over = f", closed over {', '.join(code.co_freevars)}" if code.co_freevars else ""
        return (
            f"it does not fit in a pickle: it is a function without a name of its own in a module{over}. Define it at "
            "the top level of a module, and pass what it needs as arguments"
        )
    try:
        pickle.dumps(value, protocol=5)
    except Exception as error:  # noqa: BLE001  # whatever a class's own pickling raises is the answer
        for name, each in (getattr(value, "__dict__", None) or {}).items():
            try:
                pickle.dumps(each, protocol=5)
            except Exception as inner:  # noqa: BLE001  # as above
                return f"its attribute '{name}' does not fit in a pickle ({inner})"
        return f"it does not fit in a pickle ({error})"
    return "its format refused it"


def classes_in(form: Format, data: bytes) -> tuple[str, ...]:
    """Return what loading the data imports, as ``module:name``, for formats that name classes or functions."""
    if form.name == "code":
        return (data.decode(),)
    if form.name != "pickle":
        return ()
    import pickletools

    found: set[str] = set()
    texts: list[str] = []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            found.add(str(argument).replace(" ", ":"))
        elif opcode.name == "STACK_GLOBAL" and len(texts) >= 2:
            found.add(f"{texts[-2]}:{texts[-1]}")
        elif isinstance(argument, str):
            texts.append(argument)
    # A name given a second time comes from the pickle's memo, out of sight here: then every module text counts.
    found.update(f"{text}:" for text in texts if text in sys.modules and "." not in text and text != "builtins")
    return tuple(sorted(found))


BUILT_IN: tuple[Format, ...] = (
    Format(
        name="bytes", takes=lambda value: type(value) is bytes, save=lambda value: bytes(value), load=lambda data: data,
        write=_write_bytes, read=Path.read_bytes, size=len,
    ),
    Format(
        name="bytearray", takes=lambda value: type(value) is bytearray, save=lambda value: bytes(value), load=bytearray,
        write=_write_bytes, read=_read_bytearray, size=len,
    ),
    Format(name="ipynb", takes=_is_notebook, save=bytes, load=_load_notebook),
    Format(
        name="npy", takes=_is_array, save=_save_npy, load=_load_npy,
        write=_write_npy, read=_read_npy, size=lambda value: int(value.nbytes),
    ),
    Format(name="npy-scalar", takes=_is_scalar, save=lambda value: _save_npy(value.reshape(())), load=_load_scalar),
    frame_files.format_of("parquet", _is_pandas, frame_files.PANDAS),
    frame_files.format_of("parquet-polars", _is_polars, frame_files.POLARS),
    frame_files.format_of("parquet-arrow", _is_arrow, frame_files.ARROW),
    Format(name="skops", takes=_is_estimator, save=_save_skops, load=_load_skops, trusted=False),
    Format(name="code", takes=_is_code, save=_save_code, load=_load_code, trusted=False),
    Format(name="pickle", takes=lambda value: True, save=_save_pickle, load=_load_pickle, trusted=False),
)  # fmt: skip
