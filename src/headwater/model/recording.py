"""Recording what an HTTP API answers to a dataset, so that it can be measured again without asking it again."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError
from headwater.lake import resolve, scan
from headwater.project import Project

from .answers import PaidAnswers
from .columns import input_columns, take
from .flavours import api, files_of
from .flavours.files import ANSWERS
from .registry import get_model_version, register
from .values import ModelFile


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What came of recording: the version that holds the answers, how many it has, what was asked and spent for it.

    ``ended`` says why it ended before the last row; empty when it did not.
    """

    version: str
    label: str
    recorded: int
    calls: int
    cost: float
    currency: str
    ended: str = ""


def record_answers(
    project: Project,
    ref: str,
    data: str,
    *,
    where: str | None = None,
    limit: int = 10_000,
    tell: Callable[[int, int], None] | None = None,
) -> Recorded:
    """Ask the API of a version for each row of a dataset, and return the new version that keeps the answers.

    It is asked from here, with the credentials of this process's environment. Rows that are recorded, or were paid for
    in a measurement, are not asked again. What was answered is kept also when the vendor, the cost, a fault or ^C ends
    it early, and for the next time when the process is killed. ``tell`` is called with rows done and in all.

    Raises:
        NotFoundError: there is no such version or data.
        InvalidInputError: the version is no API, or the data lacks an input.
        RefusedError, UnavailableError: the very first row could not be asked, or no admin trusted the API.
    """
    version = get_model_version(project, ref)
    if version.flavour != "api":
        raise InvalidInputError(f"{version.label} is of the flavour '{version.flavour}': only an 'api' is recorded.")
    fields = version.contract.inputs
    source = resolve(project, data)
    table = scan(project, source.ref, columns=[field.name for field in fields], where=where)
    columns = take(input_columns(fields, table), slice(0, limit))
    files = files_of(version, project.objects.get, "api")
    predictor = api.load(files, version.contract, version.trusted, keep=PaidAnswers(project, api.asked_name(files)))
    before = len(predictor.recorded)
    ended: BaseException | None = None
    rows = len(next(iter(columns.values())))
    try:
        for row in range(rows):
            predictor.predict(take(columns, slice(row, row + 1)))
            if tell is not None:
                tell(row + 1, rows)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # whatever ends it, the answers were paid for
        ended = error
    if ended is not None and len(predictor.recorded) == before:
        raise ended
    made = version
    if len(predictor.recorded) > before:
        answers = api.write_answers(predictor.recorded)
        kept = tuple(file for file in version.files if (file.flavour, file.name) != ("api", ANSWERS))
        file = ModelFile(name=ANSWERS, digest=project.objects.put(answers), size=len(answers), flavour="api")
        made = register(
            project,
            version.model,
            files=(*kept, file),
            contract=version.contract,
            params={**version.params, "recorded": len(predictor.recorded)},
            metrics=version.metrics,
            trained_on=[f"version:{source.id}"],
            parent=version.id,
            trusted=version.trusted,
            card=version.card,
        )
    usage = predictor.usage()
    return Recorded(
        version=made.id,
        label=made.label,
        recorded=len(predictor.recorded),
        calls=usage.calls,
        cost=usage.cost,
        currency=usage.currency,
        ended=_why(ended),
    )


def _why(ended: BaseException | None) -> str:
    if ended is None:
        return ""
    if isinstance(ended, KeyboardInterrupt):
        return "it was interrupted"
    return ended.message if isinstance(ended, HeadwaterError) else f"{type(ended).__name__}: {ended}"
