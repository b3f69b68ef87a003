"""Trusting what a version would run or construct when it is loaded: an admin's word, kept with who gave it and why."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.errors import InvalidInputError
from headwater.operation import operation
from headwater.project import Project

from .flavours import files_of
from .proving import prove
from .registry import get_model_version
from .values import ModelVersion


@operation("model.untrusted", needs="model:read")
def untrusted(project: Project, ref: str) -> list[str]:
    """Return what loading a version would run or construct, and nobody trusted: ``code:DIGEST``, or types by name.

    Raises:
        NotFoundError: there is no such version.
    """
    return _untrusted(project, get_model_version(project, ref))


@operation("model.trust", needs="model:admin")
def trust(project: Project, ref: str, *, reason: str, names: Sequence[str] = ()) -> ModelVersion:
    """Let a version be loaded although that runs its code: all that it would run, or the ``names`` given; return it.

    Raises:
        NotFoundError: there is no such version.
        InvalidInputError: no reason is given, or a name is none that the version would run.
    """
    version = get_model_version(project, ref)
    if not reason.strip():
        raise InvalidInputError("say why the code is trusted: who read it, and where it comes from.")
    waiting = _untrusted(project, version)
    strange = [name for name in names if name not in waiting]
    if strange:
        told = ", ".join(waiting) or "nothing that is not trusted"
        raise InvalidInputError(f"loading {version.label} would run {told}, not {', '.join(strange)}.")
    with project.ledger.write() as tx:
        for name in names or waiting:
            tx.execute(
                "INSERT INTO model_trust (version, name, reason, trusted_by, claimed, trusted_at) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (version, name) DO NOTHING",
                (version.id, name, reason.strip(), project.actor.name, int(project.actor.claimed), tx.now),
            )
    return get_model_version(project, version.id)


def _untrusted(project: Project, version: ModelVersion) -> list[str]:
    found: list[str] = []
    for flavour in sorted({file.flavour for file in version.files if file.flavour}):
        # In a process of its own: an engine may crash on the very files that nobody trusted, and this may be a server.
        proof = prove(files_of(version, project.objects.get, flavour), flavour, load=False)
        found += [name for name in proof.untrusted if name not in version.trusted]
    return list(dict.fromkeys(found))
