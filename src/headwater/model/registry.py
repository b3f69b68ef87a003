"""The registry: recording versions of models, and finding them by ref."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import DeniedError, InvalidInputError, NotFoundError
from headwater.lake import resolve
from headwater.operation import operation
from headwater.project import Project
from headwater.project.permissions import require

from . import documents
from .contract import Contract
from .contract_files import check_contract
from .flavours import FLAVOURS
from .flavours.files import ANSWERS, check_file_name
from .naming import describe_version
from .refs import ModelRef, check_name, parse_ref
from .values import CardText, Model, ModelFile, ModelVersion

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx, WriteTx

_COLUMNS = (
    "id, model, number, flavour, contract, description, measured, author, claimed, created_at, parent, run, "
    "trained_on, params, metrics, reference, trusted, card"
)


@operation("model.register", needs="model:write")
def register(
    project: Project,
    name: str,
    *,
    files: Sequence[ModelFile],
    contract: Contract,
    flavour: str = "",
    params: dict[str, Any] | None = None,
    metrics: dict[str, float] | None = None,
    run: str | None = None,
    trained_on: Sequence[str] = (),
    reference: str | None = None,
    parent: str | None = None,
    trusted: Sequence[str] = (),
    card: CardText | None = None,
) -> ModelVersion:
    """Record a new version of a model, made when its name is new, and return it.

    ``files`` name objects that are stored already. ``flavour`` says which file is served (ONNX where there is one).
    ``trained_on`` holds refs of dataset versions (``flights@v12``) and ``run`` the id of the run that made it: both
    become lineage, as does ``parent`` when given. Without ``parent`` the version is described against the newest.

    Raises:
        InvalidInputError: no file, an unknown flavour, a name that cannot be one.
        NotFoundError: an object, a dataset version or the parent is not in this project.
    """
    check_name(name, "model")
    check_contract(contract)
    _require_may_trust(project, trusted, files, parent)
    served = _served_flavour(files, flavour)
    _require_objects(project, files, reference)
    data = [resolve(project, ref) for ref in trained_on]
    # Looked up before writing, so that the write transaction stays short; a version that slips in between leaves
    # the description true, since it names the one it was told from.
    with project.ledger.read() as read:
        before = _version_to_describe_against(read, name, parent)
    earlier = [resolve(project, each) for each in before.trained_on] if before else []
    with project.ledger.write() as tx:
        project.objects.require([file.digest for file in files])
        number = _next_number(tx, name, project.actor.name)
        version = ModelVersion(
            id=tx.new_id(),
            model=name,
            number=number,
            flavour=served,
            files=tuple(files),
            contract=contract,
            description="",
            author=project.actor.name,
            claimed=project.actor.claimed,
            created_at=tx.now,
            parent=before.id if before else None,
            run=run,
            trained_on=tuple(each.id for each in data),
            params=params or {},
            metrics={key: float(value) for key, value in (metrics or {}).items()},
            reference=reference,
            trusted=tuple(trusted),
            card=card or CardText(),
        )
        version = msgspec.structs.replace(version, description=describe_version(version, data, before, earlier))
        _insert(tx, version)
        _link(tx, version, explicit_parent=parent is not None)
        tx.announce("model", version.ref)
    return version


@operation("model.versions.get", needs="model:read")
def get_model_version(project: Project, ref: str) -> ModelVersion:
    """Return the version a ref names: ``delay@production``, ``delay@v3``, ``delay@latest`` or an id.

    ``model:`` and ``modelversion:`` may stand in front.

    Raises:
        NotFoundError: there is no such model, version or channel; the message lists those there are.
    """
    with project.ledger.read() as tx:
        return read_version(tx, ref)


@operation("model.versions.find", needs="model:read")
def find_model_version(project: Project, ref: str) -> ModelVersion | None:
    """Return the version a ref names, or None when there is none."""
    with project.ledger.read() as tx:
        try:
            return read_version(tx, ref)
        except NotFoundError:
            return None


@operation("model.versions.list", needs="model:read")
def list_model_versions(
    project: Project, model: str, *, limit: int = 50, before: int | None = None
) -> list[ModelVersion]:
    """Return a model's versions, newest first; ``before`` is the number to continue below.

    Raises:
        NotFoundError: there is no such model.
    """
    with project.ledger.read() as tx:
        _require_model(tx, model)
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM model_versions WHERE model = ? AND number < ? ORDER BY number DESC LIMIT ?",
            (model, before if before is not None else 2**62, limit),
        )
        return _from_rows(tx, rows)


@operation("model.get", needs="model:read")
def get_model(project: Project, name: str) -> Model:
    """Return a model with its channels.

    Raises:
        NotFoundError: there is no such model.
    """
    with project.ledger.read() as tx:
        return _model(tx, _require_model(tx, name))


@operation("model.list", needs="model:read")
def list_models(project: Project, *, limit: int = 200, after: str = "") -> list[Model]:
    """Return the models by name; ``after`` is the name to continue behind."""
    with project.ledger.read() as tx:
        rows = tx.all("SELECT * FROM models WHERE name > ? ORDER BY name LIMIT ?", (after, limit))
        return [_model(tx, row) for row in rows]


@operation("model.channels", needs="model:read")
def channels(project: Project, model: str) -> dict[str, ModelVersion]:
    """Return the version that each channel of a model points to.

    Raises:
        NotFoundError: there is no such model.
    """
    with project.ledger.read() as tx:
        _require_model(tx, model)
        return {channel: read_version(tx, head) for channel, head in _heads(tx, model).items()}


@operation("model.describe", needs="model:write")
def describe_model(project: Project, name: str, description: str) -> Model:
    """Set what a model is for, in the team's words.

    Raises:
        NotFoundError: there is no such model.
    """
    with project.ledger.write() as tx:
        _require_model(tx, name)
        tx.execute("UPDATE models SET description = ? WHERE name = ?", (description, name))
        return _model(tx, _require_model(tx, name))


@operation("model.tell_measured", needs="model:write")
def tell_measured(project: Project, ref: str, measured: str) -> ModelVersion:
    """Let a version's name also say how it was measured beside its parent: ``auc −0.8 pts on carrier=YX``.

    Raises:
        NotFoundError: there is no such version.
    """
    with project.ledger.write() as tx:
        version = read_version(tx, ref)
        tx.execute("UPDATE model_versions SET measured = ? WHERE id = ?", (measured, version.id))
        return read_version(tx, version.id)


def read_version(tx: Tx, ref: str) -> ModelVersion:
    """Return the version a ref names, within a transaction.

    Raises:
        NotFoundError: there is none; the message lists those there are.
    """
    parsed = parse_ref(ref)
    identifier = parsed.id or _id_of(tx, parsed)
    rows = tx.all(f"SELECT {_COLUMNS} FROM model_versions WHERE id = ?", (identifier,))
    if not rows:
        raise NotFoundError(f"there is no model version '{ref}'. 'hw model list' shows the models.", ref=ref)
    return _from_rows(tx, rows)[0]


def channel_head(tx: Tx, model: str, channel: str) -> str | None:
    """Return the id of the version a channel points to; None when nothing was released to it."""
    return tx.pointer("channel", f"{model}/{channel}")


def _id_of(tx: Tx, ref: ModelRef) -> str:
    _require_model(tx, ref.model)
    if ref.number is not None or ref.selector == "latest":
        found = tx.value(
            "SELECT id FROM model_versions WHERE model = ? AND number = "
            "COALESCE(?, (SELECT last_number FROM models WHERE name = ?))",
            (ref.model, ref.number, ref.model),
        )
    elif ref.selector:
        found = channel_head(tx, ref.model, ref.selector)
    else:
        found = None
    if found is None:
        raise _no_such_version(tx, ref)
    return str(found)


def _no_such_version(tx: Tx, ref: ModelRef) -> NotFoundError:
    newest = tx.value("SELECT last_number FROM models WHERE name = ?", (ref.model,))
    heads = ", ".join(_heads(tx, ref.model)) or "none yet"
    if not ref.selector:
        what = f"'{ref.model}' names a model: say which version"
    else:
        what = f"model '{ref.model}' has no version or channel '{ref.selector}'"
    return NotFoundError(
        f"{what}. It has versions v1 to v{newest} and the channels: {heads}. "
        f"Write '{ref.model}@v{newest}' or '{ref.model}@CHANNEL'; 'hw release request' asks for a channel to be moved.",
        model=ref.model,
        selector=ref.selector,
    )


def _heads(tx: Tx, model: str) -> dict[str, str]:
    prefix = f"{model}/"
    return {pointer.name.removeprefix(prefix): pointer.head for pointer in tx.pointers("channel", prefix)}


def _require_model(tx: Tx, name: str) -> Row:
    row = tx.one("SELECT * FROM models WHERE name = ?", (name,))
    if row is None:
        known = ", ".join(each.name for each in tx.all("SELECT name FROM models ORDER BY name LIMIT 20")) or "none yet"
        raise NotFoundError(f"there is no model '{name}'. The models are: {known}.", model=name)
    return row


def _model(tx: Tx, row: Row) -> Model:
    return Model(
        name=row.name,
        description=row.description,
        created_at=row.created_at,
        created_by=row.created_by,
        versions=row.last_number,
        channels=_heads(tx, row.name),
    )


def _served_flavour(files: Sequence[ModelFile], wanted: str) -> str:
    offered = [file.flavour for file in files if file.flavour]
    for file in files:
        check_file_name(file.name)
    for flavour in offered:
        if flavour not in FLAVOURS:
            raise InvalidInputError(f"'{flavour}' is not a flavour; there are {', '.join(FLAVOURS)}.", flavour=flavour)
    if not offered:
        raise InvalidInputError("a model version needs at least one file with a flavour that can load it.")
    if wanted and wanted not in offered:
        raise InvalidInputError(f"no file has the flavour '{wanted}'; the files have {', '.join(offered)}.")
    return wanted or ("onnx" if "onnx" in offered else offered[0])


def _require_may_trust(
    project: Project, trusted: Sequence[str], files: Sequence[ModelFile], parent: str | None
) -> None:
    if not trusted:
        return
    before = find_model_version(project, parent) if parent is not None else None
    if before is not None and set(trusted) <= set(before.trusted) and _trusted(files) == _trusted(before.files):
        return  # the very same files, which an admin trusted as they are
    try:
        require(project.actor, "model:admin", "model.register")
    except DeniedError as error:
        raise DeniedError(
            f"{project.actor.name} may not trust {', '.join(trusted)}, which loading the model would run: that is an "
            "admin's word. Register the version without it, and ask an admin for 'hw model trust'.",
            **error.values,
        ) from None


def _trusted(files: Sequence[ModelFile]) -> set[ModelFile]:
    """Return the files that trust is about: all but an API's recorded answers."""
    return {file for file in files if (file.flavour, file.name) != ("api", ANSWERS)}


def _require_objects(project: Project, files: Sequence[ModelFile], reference: str | None) -> None:
    digests = [file.digest for file in files] + ([reference] if reference else [])
    missing = project.objects.missing(digests)
    if missing:
        raise NotFoundError(
            f"the object {missing[0]} is not in this project: put the bytes of every file first "
            "('hw.register_model' does), then register.",
            missing=list(missing),
        )


def _next_number(tx: WriteTx, model: str, author: str) -> int:
    # The row is written before it is counted up, so that of two writers the second waits for the first's number.
    tx.execute(
        "INSERT INTO models (name, description, created_at, created_by, last_number) VALUES (?, '', ?, ?, 0) "
        "ON CONFLICT (name) DO NOTHING",
        (model, tx.now, author),
    )
    return int(
        tx.value("UPDATE models SET last_number = last_number + 1 WHERE name = ? RETURNING last_number", (model,))
    )


def _version_to_describe_against(tx: Tx, model: str, parent: str | None) -> ModelVersion | None:
    if parent is not None:
        return read_version(tx, parent)
    rows = tx.all(f"SELECT {_COLUMNS} FROM model_versions WHERE model = ? ORDER BY number DESC LIMIT 1", (model,))
    return _from_rows(tx, rows)[0] if rows else None


def _insert(tx: WriteTx, version: ModelVersion) -> None:
    tx.insert(
        "model_versions",
        id=version.id,
        model=version.model,
        number=version.number,
        flavour=version.flavour,
        contract=documents.dump(version.contract),
        description=version.description,
        measured="",
        author=version.author,
        claimed=int(version.claimed),
        created_at=version.created_at,
        parent=version.parent,
        run=version.run,
        trained_on=documents.dump(version.trained_on),
        params=documents.dump(version.params),
        metrics=documents.dump(version.metrics),
        reference=version.reference,
        trusted=documents.dump(version.trusted),
        card=documents.dump(version.card),
    )
    tx.insert_many(
        "model_files",
        ("version", "name", "digest", "size", "flavour"),
        [(version.id, file.name, file.digest, file.size, file.flavour) for file in version.files],
    )


def _link(tx: WriteTx, version: ModelVersion, *, explicit_parent: bool) -> None:
    if version.run:
        tx.edge(version.ref, "run", f"run:{version.run}")
    for data in version.trained_on:
        tx.edge(version.ref, "data", f"version:{data}")
    # A parent that was only compared with is not where this version came from, so it is no edge of the lineage.
    if explicit_parent and version.parent:
        tx.edge(version.ref, "parent", f"modelversion:{version.parent}")


def _from_rows(tx: Tx, rows: Sequence[Row]) -> list[ModelVersion]:
    files: dict[str, list[ModelFile]] = {row.id: [] for row in rows}
    marks = ", ".join("?" for _ in rows)
    if rows:
        for file in tx.all(
            f"SELECT version, name, digest, size, flavour FROM model_files WHERE version IN ({marks}) ORDER BY name",
            tuple(files),
        ):
            files[file.version].append(
                ModelFile(name=file.name, digest=file.digest, size=file.size, flavour=file.flavour)
            )
    trusted: dict[str, list[str]] = {row.id: list(documents.parse(row.trusted)) for row in rows}
    if rows:
        for each in tx.all(
            f"SELECT version, name FROM model_trust WHERE version IN ({marks}) ORDER BY name", tuple(trusted)
        ):
            trusted[each.version].append(each.name)
    return [_from_row(row, files[row.id], trusted[row.id]) for row in rows]


def _from_row(row: Row, files: Sequence[ModelFile], trusted: Sequence[str]) -> ModelVersion:
    return ModelVersion(
        id=row.id,
        model=row.model,
        number=row.number,
        flavour=row.flavour,
        files=tuple(files),
        contract=msgspec.convert(documents.parse(row.contract), Contract),
        description="; ".join(filter(None, (row.description, row.measured))),
        author=row.author,
        claimed=bool(row.claimed),
        created_at=row.created_at,
        parent=row.parent,
        run=row.run,
        trained_on=tuple(documents.parse(row.trained_on)),
        params=documents.parse(row.params),
        metrics=documents.parse(row.metrics),
        reference=row.reference,
        trusted=tuple(dict.fromkeys(trusted)),
        card=msgspec.convert(documents.parse(row.card), CardText),
    )
