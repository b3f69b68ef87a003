"""PyTorch: a module's state as safetensors and its code by content, run only where it was trusted; or exported ONNX.

The module is made anew by its class from the arguments that it kept in ``self.arguments`` (a dict of JSON values, none
where the class takes no arguments), then given its state. It is asked with one tensor of 32-bit floats of shape
(rows, inputs), in the contract's order, and answers with a tensor of shape (rows,) or (rows, n) that the contract calls
``value`` (``value[2]`` is a column), or with a dict of such tensors.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from headwater.errors import CorruptError, InvalidInputError, MissingExtraError

from ..contract import Contract
from .code import FOLDER, keep, load_class, require_trusted, trust_name
from .files import Files
from .outputs import Array, NamedOutputs
from .python import MANIFEST, Manifest, called, read_manifest

ENGINES = ("torch", "safetensors", "numpy")
FORMAT = "headwater-pytorch/1"
STATE = "state.safetensors"


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return the files of a ``torch.nn.Module`` of a class of your own.

    Raises:
        InvalidInputError: it is no module, its class cannot be made from ``arguments``, or its code is in no file.
    """
    torch, safetensors = _libraries()
    if not isinstance(model, torch.nn.Module):
        raise InvalidInputError(f"a {type(model).__name__} is no torch.nn.Module.")
    code, name = keep(type(model))
    arguments = dict(getattr(model, "arguments", {}))
    try:
        again = type(model)(**arguments)
    except Exception as error:
        raise InvalidInputError(
            f"{type(model).__name__}(**{arguments!r}) raised {error}: keep what makes the module in self.arguments."
        ) from error
    state = {key: each.detach().cpu().contiguous().clone() for key, each in model.state_dict().items()}
    again.load_state_dict(state)
    manifest = Manifest(format=FORMAT, model=name, arguments=arguments)
    return {MANIFEST: msgspec.json.encode(manifest), STATE: safetensors.save(state), **code}


def load(files: Files, contract: Contract, trusted: Sequence[str] = ()) -> PytorchPredictor:
    """Return the module, made by running its code, ready to predict.

    Raises:
        RefusedError: the code was not trusted; nothing of it was run.
        CorruptError: the files are not those of such a model, or the state does not fit its code.
        MissingExtraError: torch or safetensors is not installed.
    """
    manifest = read_manifest(files, FORMAT)
    require_trusted(trust_name(files), trusted, f"'{manifest.model}'")
    _, safetensors = _libraries()
    module = called(load_class(files, manifest.model), **manifest.arguments)
    try:
        module.load_state_dict(safetensors.load(files[STATE]))
    except Exception as error:  # safetensors' own errors, a missing file, or a state of another shape
        raise CorruptError(f"the state does not fit the module '{manifest.model}': {error}") from error
    return PytorchPredictor(module.eval(), contract)


def describe(files: Files) -> dict[str, Any]:
    """Return the class, its code and the tensors of its state, without running any of it."""
    manifest = read_manifest(files, FORMAT)
    return {
        "model": manifest.model,
        "arguments": manifest.arguments,
        "code": sorted(name[len(FOLDER) :] for name in files if name.startswith(FOLDER)),
        "tensors": _tensors(files.get(STATE, b"")),
        "untrusted": [trust_name(files)],
        "bytes": sum(map(len, files.values())),
    }


class PytorchPredictor:
    """A module that answers with the contract's outputs, on the CPU with one thread."""

    def __init__(self, module: Any, contract: Contract) -> None:
        self._module = module
        self._inputs = [field.name for field in contract.inputs]
        self._named = NamedOutputs(contract)

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,).

        Raises:
            UserCodeError: the module raised.
        """
        torch, _ = _libraries()
        given = torch.from_numpy(np.column_stack([columns[name] for name in self._inputs]).astype(np.float32))
        with one_thread():
            found = called(self._module, given)
        answers = found if isinstance(found, dict) else {"value": found}
        return self._named({name: _column(each.numpy()) for name, each in answers.items()})


_one_at_a_time = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch infer with one thread, so that each sum keeps its order.

    How many threads it uses is the process's own: whoever infers meanwhile, with whatever model, waits.
    """
    import torch

    with _one_at_a_time, torch.inference_mode():
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _column(values: Array) -> Array:
    return values.reshape(len(values)) if values.ndim == 2 and values.shape[1] == 1 else values


def _tensors(data: bytes) -> dict[str, list[int]]:
    """Return the shape of each tensor of a safetensors file.

    Source: the format's own page: 8 bytes of length, that much JSON, then the numbers.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        header = msgspec.json.decode(data[8 : 8 + size], type=dict[str, Any])
        return {name: each["shape"] for name, each in header.items() if name != "__metadata__"}
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise CorruptError(f"'{STATE}' is not a safetensors file: {error}") from error


def _libraries() -> tuple[Any, Any]:
    try:
        import safetensors.torch
        import torch
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "torch", "a model of PyTorch") from error
    return torch, safetensors.torch
