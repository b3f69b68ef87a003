"""Splits: named, versioned parts of a dataset to train, validate and test on, and the check that they keep apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError, NotFoundError
from headwater.lake import find_head, iter_files, read_bytes, resolve, scan
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .splitting import RECIPE, Recipe, checked_shares, conditions, time_cuts
from .values import Evidence

if TYPE_CHECKING:
    from headwater.lake import Version

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
_USUAL = ("train", "training", "validation", "valid", "val", "dev", "test", "holdout")


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A split that was made: the dataset's version that holds its parts, their rows, how, and what was checked."""

    version: str
    ref: str
    parts: dict[str, int]
    recipe: Recipe
    published: bool
    leakage: Evidence


@operation("evaluate.split", needs="data:write")
def make_split(
    project: Project,
    name: str,
    data: str,
    *,
    by: str = "random",
    column: str = "",
    shares: Mapping[str, float] | None = None,
    cuts: Sequence[str] = (),
    salt: str = "",
    branch: str = "main",
) -> Split:
    """Split a dataset's version into parts, publish them as the dataset ``name``, and check them for leakage.

    ``by`` random sends each row where a hash of its content says, ``group`` all rows of one value of ``column``
    together; both keep every row on its side when the data grow and are split again. ``time`` cuts at times of
    ``column``: at ``cuts``, else where the last version of the split was cut, else so that the ``shares`` hold. The
    parts are ``train.parquet`` and so on beside ``split.json``, which says how they were made.

    Raises:
        InvalidInputError: the column is missing or is no time, a part would be empty, or the shares make no split.
    """
    from headwater.check import publish
    from headwater.lake import put_table
    from headwater.lake.values import Entry

    source = resolve(project, data)
    table = scan(project, source.ref)
    recipe = Recipe(
        source=source.id,
        by=_known_way(by, column, table.columns),
        column=column,
        shares=checked_shares(shares or SHARES),
        salt=salt,
    )
    head = find_head(project, name, branch)
    if by == "time":
        _require_times(table, column)
        earlier = _recipe_of(project, head) if head else None
        recipe = msgspec.structs.replace(recipe, cuts=_cuts(recipe, table, tuple(cuts), earlier))
    entries = []
    for part, condition in conditions(recipe, table.columns).items():
        entry = put_table(project, part, table.sql(f"SELECT * FROM data WHERE {condition}"))
        if not entry.rows:
            raise InvalidInputError(
                f"the part '{part}' would be empty: {source.ref} has {len(table):,} rows. Give fewer parts, "
                "other shares or other cuts."
            )
        entries.append(entry)
    written = msgspec.json.format(msgspec.json.encode(recipe), indent=2)
    entries.append(Entry(path=RECIPE, digest=project.objects.put(written), size=len(written), media="application/json"))
    kept = {entry.path for entry in entries}
    remove = [entry.path for entry in iter_files(project, head.id) if entry.path not in kept] if head else []
    way = f"{by} {column}".strip()
    message = f"{source.ref} by {way}: " + ", ".join(
        f"{e.path.removesuffix('.parquet')} {e.rows:,}" for e in entries[:-1]
    )
    made = publish(
        project, name, put=entries, remove=remove, branch=branch, message=message, source=source.ref,
        inputs=[source.id],
    )  # fmt: skip
    return Split(
        version=made.version.id,
        ref=made.version.ref,
        parts={entry.path.removesuffix(".parquet"): entry.rows or 0 for entry in entries[:-1]},
        recipe=recipe,
        published=made.published,
        leakage=check_leakage(project, made.version.ref),
    )


@operation("evaluate.leakage", needs="model:write")
def check_leakage(
    project: Project,
    data: str,
    *,
    columns: Sequence[str] = (),
    group: str = "",
    time: str = "",
    run: str | None = None,
    seed: int = 0,
) -> Evidence:
    """Look for leakage between the parts of a split, and record it as evidence of kind ``leakage`` about the version.

    A part is a table or folder at the top of the dataset. ``columns`` are compared, by default all that the parts have
    in common; ``group`` and ``time`` name what must keep apart, by default what ``split.json`` says. Each part is held
    against all before it, in the order of ``split.json``, else train, validation, test.

    Raises:
        InvalidInputError: there are fewer than two parts, or a column is in none.
    """
    from headwater.model.columns import as_columns

    from .leaking import leakage_checks

    version = resolve(project, data)
    recipe = _recipe_of(project, version)
    names = _parts_of(project, version, recipe)
    parts = {name: as_columns(scan(project, version.ref, prefix=prefix)) for name, prefix in names.items()}
    shared = [name for name in next(iter(parts.values())) if all(name in each for each in parts.values())]
    group = group or (recipe.column if recipe and recipe.by == "group" else "")
    time = time or (recipe.column if recipe and recipe.by == "time" else "")
    for name in filter(None, (*columns, group, time)):
        if name not in shared:
            raise InvalidInputError(
                f"'{name}' is no column of every part of {version.ref}; they have {', '.join(shared)}."
            )
    compared = list(columns) or shared
    checks = leakage_checks(parts, compared, group=group, time=time, seed=seed)
    failed = [each for each in checks if not each["passed"]]
    rows = {name: len(next(iter(each.values()))) for name, each in parts.items()}
    passed = f"no leakage between {', '.join(rows)}: {', '.join(each['check'] for each in checks)} all passed"
    body = {
        "dataset": version.ref,
        "parts": rows,
        "columns": compared,
        "checks": checks,
        "passed": not failed,
        "sentence": "; ".join(each["why"] for each in failed) or passed,
    }
    ref = f"version:{version.id}"
    return record_evidence(project, ref, "leakage", body, data=[ref], run=run)


def _known_way(by: str, column: str, columns: Sequence[str]) -> str:
    if by not in ("random", "group", "time"):
        raise InvalidInputError(f"a split is made by random, group or time, not by '{by}'.")
    if by != "random" and column not in columns:
        raise InvalidInputError(
            f"a split by {by} needs a column of the data; '{column}' is none of {', '.join(list(columns)[:30])}."
        )
    return by


def _require_times(table: Any, column: str) -> None:
    quoted = '"' + column.replace('"', '""') + '"'
    [(missing,)] = table.sql(f"SELECT count(*) FROM data WHERE {quoted} IS NULL").fetchall()
    if missing:
        raise InvalidInputError(
            f"{missing:,} rows have no '{column}', so a split by time has no part for them. Clean them first, or split "
            "by group or at random.",
            rows=missing,
        )


def _cuts(recipe: Recipe, table: Any, given: tuple[str, ...], earlier: Recipe | None) -> tuple[str, ...]:
    if given:
        if len(given) != len(recipe.shares) - 1:
            raise InvalidInputError(f"{len(recipe.shares)} parts need {len(recipe.shares) - 1} cuts, not {len(given)}.")
        return given
    same = earlier is not None and (earlier.by, earlier.column) == (recipe.by, recipe.column)
    if earlier is not None and same and list(earlier.shares) == list(recipe.shares):
        return earlier.cuts
    return time_cuts(table, recipe.column, recipe.shares)


def _recipe_of(project: Project, version: Version) -> Recipe | None:
    try:
        return msgspec.json.decode(read_bytes(project, version.id, RECIPE), type=Recipe)
    except (NotFoundError, msgspec.ValidationError):
        return None


def _parts_of(project: Project, version: Version, recipe: Recipe | None) -> dict[str, str]:
    """Return each part's name and the prefix of its files, in the order of time."""
    from headwater.lake.media import table_format

    found: dict[str, str] = {}
    for entry in iter_files(project, version.id):
        if table_format(entry):
            top, _, rest = entry.path.partition("/")
            found.setdefault(top if rest else top.partition(".")[0], f"{top}/" if rest else top)
    if len(found) < 2:
        raise InvalidInputError(
            f"{version.ref} has no parts to hold against each other: its tables are {', '.join(found) or 'none'}. "
            "A split has a table or folder for each, such as train.parquet and test.parquet; 'hw data split' makes one."
        )
    usual = list(recipe.shares) if recipe else list(_USUAL)
    order = sorted(found, key=lambda name: (usual.index(name) if name in usual else len(usual), name))
    return {name: found[name] for name in order}
