"""Proving in a process of its own that files can be opened and asked, before anything of them is registered.

An engine written in C may crash, hang or eat all memory on a damaged file; the child then dies and this process does
not. What a file would run is not run: code that nobody trusted is described and no more, and no API is asked.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headwater.errors import CorruptError, HeadwaterError, from_document

from .contract import Contract
from .flavours import get_flavour
from .flavours.files import Files, read_files, write_files

LIMIT_S = 120.0
MOST_BYTES = 8 << 30
_NOT_ASKED = frozenset({"api"})


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What the child found: what the flavour says of the files, the contract they suggest, or the error.

    ``answered`` says that the model was loaded and answered an example row of the contract; ``doubt`` why it was not.
    """

    said: dict[str, Any] = {}
    contract: Contract | None = None
    untrusted: tuple[str, ...] = ()
    answered: bool = False
    doubt: str = ""
    error: dict[str, Any] | None = None


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    flavour: str
    folder: str
    contract: Contract | None
    trusted: tuple[str, ...]
    load: bool = True


def prove(
    files: Files,
    flavour: str,
    contract: Contract | None = None,
    *,
    trusted: Sequence[str] = (),
    load: bool = True,
    limit_s: float = LIMIT_S,
) -> Proof:
    """Return what a child process found out about some files; without ``load`` it describes them and no more.

    Raises:
        CorruptError: the engine cannot read them, or crashes or hangs on them.
        MissingExtraError: the engine is not installed.
        HeadwaterError: whatever else the flavour refuses them for.
    """
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="hw-prove-") as folder:
        write_files(files, Path(folder))
        asked = _Asked(flavour=flavour, folder=folder, contract=contract, trusted=tuple(trusted), load=load)
        # -P: the current directory is not looked in for modules, a clone may hold a numpy.py.
        command = [sys.executable, "-P", "-c", "from headwater.model.proving import main; main()"]
        try:
            done = subprocess.run(command, input=msgspec.json.encode(asked), capture_output=True, timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise CorruptError(
                f"the engine of '{flavour}' was not done with these files after {limit_s:g} s: they are refused.",
                flavour=flavour,
            ) from error
    if done.returncode != 0:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CorruptError(
            f"the engine of '{flavour}' ended its process on these files ({how}): they are refused. "
            f"{told[-1][:300] if told else ''}".strip(),
            flavour=flavour,
            returncode=done.returncode,
        )
    proof = msgspec.json.decode(done.stdout.splitlines()[-1], type=Proof)
    if proof.error is not None:
        raise from_document(proof.error)
    return proof


def main() -> None:
    """Be the child: read what to prove from standard input, write the proof as the last line of standard output."""
    _limit_itself()
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=_Asked)
    try:
        proof = _proved(asked)
    except HeadwaterError as error:
        proof = Proof(error={"kind": error.kind, "message": error.message, "values": _plain(error.values)})
    sys.stdout.buffer.write(b"\n" + msgspec.json.encode(proof) + b"\n")


def _limit_itself() -> None:
    """Take no more memory than MOST_BYTES and dump no core; a lower limit that is set already is kept.

    The hard limit too: trusted code that is run here could raise the soft one.
    """
    import resource

    limits = resource.getrlimit(resource.RLIMIT_AS)
    most = min([MOST_BYTES, *(each for each in limits if each != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _proved(asked: _Asked) -> Proof:
    files = read_files(Path(asked.folder))
    flavour = get_flavour(asked.flavour)
    said = flavour.describe(files)
    suggested = said.pop("contract", None)
    untrusted = tuple(said.pop("untrusted", ()))
    contract = asked.contract or suggested
    answered, doubt = False, ""
    waiting = [name for name in untrusted if name not in asked.trusted]
    if asked.load and contract is not None and not waiting and asked.flavour not in _NOT_ASKED:
        predictor = flavour.load(files, contract, asked.trusted)
        try:
            _ask(predictor, contract)
            answered = True
        except HeadwaterError as error:
            doubt = error.message
        except Exception as error:  # noqa: BLE001  # engines raise their own; an example row need not suit a model
            doubt = f"{type(error).__name__}: {error}"
    return Proof(said=_plain(said), contract=suggested, untrusted=untrusted, answered=answered, doubt=doubt)


def _ask(predictor: Any, contract: Contract) -> None:
    from .columns import columns_from_rows, rows_from_columns
    from .rendering import example_row

    columns = columns_from_rows(contract.inputs, contract.validate([example_row(contract)]))
    rows_from_columns(contract.outputs, predictor.predict(columns))


def _plain(value: Any) -> dict[str, Any]:
    from .documents import plain

    found: dict[str, Any] = plain(value)
    return found
