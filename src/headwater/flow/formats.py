"""The built-in formats of leaves: bytes, npy, Parquet, skops, code, and pickle as the last resort.

Libraries are looked for only where a value of theirs is at hand, so nothing heavy is imported to save a number.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from typing import Any

from .saving import Format


def _of(value: Any, package: str, *names: str) -> bool:
    """Tell whether a value is of a class of that name and package, or of a subclass."""
    return any(each.__name__ in names and each.__module__.split(".")[0] == package for each in type(value).__mro__)


def _is_array(value: Any) -> bool:
    return type(value).__name__ == "ndarray" and _of(value, "numpy", "ndarray") and not value.dtype.hasobject


def _save_npy(value: Any) -> bytes:
    import numpy as np

    out = io.BytesIO()
    np.lib.format.write_array(out, value, allow_pickle=False)
    return out.getvalue()


def _load_npy(data: bytes) -> Any:
    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=False)


def _is_scalar(value: Any) -> bool:
    return _of(value, "numpy", "generic") and not value.dtype.hasobject


def _load_scalar(data: bytes) -> Any:
    return _load_npy(data)[()]


def _is_pandas(value: Any) -> bool:
    return type(value).__name__ in ("DataFrame", "Series") and _of(value, "pandas", "DataFrame", "Series")


def _save_pandas(value: Any) -> bytes | None:
    """Return Parquet with pandas' own metadata, None where it would not come back equal."""
    if value.attrs:
        return None
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return None
    single = type(value).__name__ == "Series"
    frame = value.to_frame("0" if value.name is None else value.name) if single else value
    if not all(type(name) is str for name in frame.columns):
        return None
    try:
        table = pa.Table.from_pandas(frame)
    except (pa.ArrowException, TypeError, ValueError):
        return None
    meta = dict(table.schema.metadata or {})
    meta[b"headwater"] = b"series:unnamed" if single and value.name is None else b"series" if single else b"frame"
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(meta), out, compression="zstd")
    data = out.getvalue()
    return data if _comes_back(value, data) else None


def _comes_back(value: Any, data: bytes) -> bool:
    again = _load_pandas(data)
    if type(again) is not type(value) or not again.equals(value):
        return False
    if type(value).__name__ == "Series":
        return bool(again.dtype == value.dtype and again.index.dtype == value.index.dtype)
    same = list(again.dtypes) == list(value.dtypes) and again.index.names == value.index.names
    return bool(same and again.index.dtype == value.index.dtype and again.columns.dtype == value.columns.dtype)


def _load_pandas(data: bytes) -> Any:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    kind = (table.schema.metadata or {}).get(b"headwater", b"frame")
    frame = table.to_pandas()
    if kind == b"frame":
        return frame
    series = frame.iloc[:, 0]
    return series.rename(None) if kind == b"series:unnamed" else series


def _is_polars(value: Any) -> bool:
    return type(value).__name__ == "DataFrame" and _of(value, "polars", "DataFrame")


def _save_polars(value: Any) -> bytes:
    out = io.BytesIO()
    value.write_parquet(out)
    return out.getvalue()


def _load_polars(data: bytes) -> Any:
    import polars as pl

    return pl.read_parquet(io.BytesIO(data))


def _is_arrow(value: Any) -> bool:
    return type(value).__name__ == "Table" and _of(value, "pyarrow", "Table")


def _save_arrow(value: Any) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(value, out, compression="zstd")
    return out.getvalue()


def _load_arrow(data: bytes) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(data))


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


def why_not(value: Any) -> str:
    """Return why pickle, the last resort, does not take a value."""
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
        name="bytes", takes=lambda value: type(value) is bytes, save=lambda value: bytes(value), load=lambda data: data
    ),
    Format(name="bytearray", takes=lambda value: type(value) is bytearray, save=lambda v: bytes(v), load=bytearray),
    Format(name="npy", takes=_is_array, save=_save_npy, load=_load_npy),
    Format(name="npy-scalar", takes=_is_scalar, save=lambda value: _save_npy(value.reshape(())), load=_load_scalar),
    Format(name="parquet", takes=_is_pandas, save=_save_pandas, load=_load_pandas),
    Format(name="parquet-polars", takes=_is_polars, save=_save_polars, load=_load_polars),
    Format(name="parquet-arrow", takes=_is_arrow, save=_save_arrow, load=_load_arrow),
    Format(name="skops", takes=_is_estimator, save=_save_skops, load=_load_skops, trusted=False),
    Format(name="code", takes=_is_code, save=_save_code, load=_load_code, trusted=False),
    Format(name="pickle", takes=lambda value: True, save=_save_pickle, load=_load_pickle, trusted=False),
)
