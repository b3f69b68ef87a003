"""A flow as a picture: which boxes it has and what each needs, as text, SVG or JSON.

A flow in a file is drawn from the file. One in Python is drawn from a dry run, in which its function is called and no
step runs; where it stops at a value that is not known yet, its last run tells the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError, UserCodeError
from headwater.operation import operation

from .layout import Box, Line, columns_of, svg

if TYPE_CHECKING:
    from headwater.project import Project

    from .finding import Found
    from .steps import Step


class PictureBox(msgspec.Struct, frozen=True, kw_only=True):
    """A box: a step, or the steps of one stage or nested flow. ``calls`` is how often its steps are called."""

    name: str
    kind: str
    steps: tuple[str, ...]
    calls: int


class PictureLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one box gives to another. ``asked``: the flow's own function waited for a value in between."""

    start: str
    end: str
    asked: bool = False


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A flow's boxes in the order of their first calls. ``drawn_from``: ``file``, ``dry run`` or ``run:<id>``.

    ``stopped_at`` names the step whose value the function needs where the dry run ended and no run tells more.
    """

    flow: str
    drawn_from: str
    boxes: tuple[PictureBox, ...]
    lines: tuple[PictureLine, ...]
    stopped_at: str | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a step on the way to a picture: its place, its step, the box it belongs to, what it needs."""

    id: str
    step: str
    kind: str
    box: str
    needs: tuple[str, ...]
    asked: tuple[str, ...] = ()


@operation("flow.draw", needs="run:read")
def draw_flow(
    project: Project, flow: str, arguments: dict[str, Any] | None = None, *, every_step: bool = False
) -> Picture:
    """Return a flow's picture; ``every_step`` gives each step its own box, stages and nested flows aside.

    Raises:
        NotFoundError: there is no such flow.
        InvalidInputError: the file that describes it is wrong.
        UserCodeError: its code cannot be imported, or its function raises.
    """
    from .described import draw_described, is_described

    if project.root is None:
        raise InvalidInputError("flows are drawn where the project's folder is.")
    if is_described(flow):
        return draw_described(project, flow, every_step=every_step)
    from .finding import find_flow

    found = find_flow(project, flow, project.root)
    dry, stopped = _dry_run(project, found, dict(arguments or {}))
    ran, run = _last_run(project, found) if stopped is not None else ([], None)
    seen, source = (ran, f"run:{run}") if len(ran) > len(dry) else (dry, "dry run")
    picture = picture_of(found.ref, source, seen, every_step=every_step)
    return picture if source != "dry run" else msgspec.structs.replace(picture, stopped_at=stopped)


def picture_of(flow: str, source: str, seen: Sequence[Seen], *, every_step: bool) -> Picture:
    """Return the picture of calls: those of one box together, lines between different boxes once."""
    boxes: dict[str, list[Seen]] = {}
    home: dict[str, str] = {}
    for each in seen:
        home[each.id] = each.step if every_step else each.box
        boxes.setdefault(home[each.id], []).append(each)
    lines: dict[tuple[str, str], bool] = {}
    for each in seen:
        pairs = [(home[other], False) for other in each.needs if other in home]
        pairs += [(home[other], True) for other in each.asked if other in home]
        for start, asked in pairs:
            place = (start, home[each.id])
            if start != home[each.id]:
                lines[place] = lines.get(place, True) and asked
    made = [
        PictureBox(
            name=name,
            kind=_kind(name, calls),
            steps=tuple(dict.fromkeys(call.step for call in calls)),
            calls=len(calls),
        )
        for name, calls in boxes.items()
    ]
    return Picture(
        flow=flow, drawn_from=source, boxes=tuple(made),
        lines=tuple(PictureLine(start=a, end=b, asked=asked) for (a, b), asked in lines.items()),
    )  # fmt: skip


def _kind(name: str, calls: Sequence[Seen]) -> str:
    return calls[0].kind if all(call.step == name for call in calls) else "stage"


def _dry_run(project: Project, found: Found, arguments: dict[str, Any]) -> tuple[list[Seen], str | None]:
    from headwater.project.current import using

    from .engine import Engine, FlowStopped
    from .running import check_arguments
    from .steps import taking
    from .worker import users_traceback

    class Noting(Engine):
        """Notes what each call needs, and which values the function asked for before it."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.noted: list[Seen] = []
            self.asked = ""

        def _take_call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            task = super()._take_call(step, args, kwargs)
            needs = tuple(each.id for each in self.handles_in([list(args), kwargs]))
            asked = (self.asked,) if self.asked and not needs else ()
            self.noted.append(_seen(task, needs, asked))
            return task

        def value_of(self, task: Any, *args: Any, **kwargs: Any) -> Any:
            self.asked = task.id
            return super().value_of(task, *args, **kwargs)

    check_arguments(found.flow, arguments)
    engine = Noting(project, found, workers=1, strict=False, dry=True)
    token = taking.set(engine)
    try:
        with using(project):
            found.flow.function(**arguments)
    except FlowStopped as at:
        return engine.noted, str(at)
    except Exception as error:
        raise UserCodeError(f"{found.ref} raised {type(error).__name__}: {error}", users_traceback(error)) from error
    finally:
        taking.reset(token)
        engine.code.keep()
    return engine.noted, None


def _seen(task: Any, needs: tuple[str, ...], asked: tuple[str, ...]) -> Seen:
    name = task.name.rpartition(":")[2]
    return Seen(
        id=task.id, step=name, kind=kind_of(task.step), box=_box_of(task.step, task.within, name), needs=needs,
        asked=asked,
    )  # fmt: skip


def kind_of(step: Step[Any, Any] | None) -> str:
    """Return what a step is: ``command``, ``notebook`` or ``step``."""
    if step is None:
        return "step"
    return "notebook" if step.options.notebooks else "command" if step.options.programs else "step"


def _box_of(step: Step[Any, Any] | None, within: str, name: str) -> str:
    if step is not None and step.options.stage:
        return step.options.stage
    return within.split("/")[0].partition("#")[0] or name


def _last_run(project: Project, found: Found) -> tuple[list[Seen], str | None]:
    """Return the calls of the flow's newest run that ended well, as recorded."""
    from .steps import Step
    from .worker import find_step

    with project.ledger.read() as tx:
        run = tx.value(
            "SELECT id FROM runs WHERE flow = ? AND status = 'done' ORDER BY started_at DESC LIMIT 1", (found.ref,)
        )
        if run is None:
            return [], None
        rows = tx.all("SELECT id, step, result, within FROM tasks WHERE run = ? ORDER BY position", (run,))
        made_by = {row.result: row.id for row in reversed(rows) if row.result is not None}
        inputs = {
            row.id: [parent.removeprefix("result:") for role, parent in tx.edges_of(f"result:{row.result}")
                     if role == "input"]
            for row in rows if row.result is not None
        }  # fmt: skip
    seen = []
    for row in rows:
        try:
            step = find_step(row.step)
        except (ImportError, AttributeError):
            step = None  # it has another name by now
        known = step if isinstance(step, Step) else None
        name = row.step.rpartition(":")[2]
        needs = tuple(made_by[each] for each in inputs.get(row.id, ()) if each in made_by)
        seen.append(Seen(id=row.id, step=name, kind=kind_of(known), box=_box_of(known, row.within, name), needs=needs))
    return seen, str(run)


def as_svg(picture: Picture, *, styled: bool = False) -> str:
    """Return a picture as SVG. ``styled``: for a file, with its own style."""
    names = [box.name for box in picture.boxes]
    columns = columns_of(names, [(line.start, line.end) for line in picture.lines])
    boxes = [
        Box(id=box.name, title=box.name, kind=_above(box), column=columns[box.name], hover=", ".join(box.steps))
        for box in picture.boxes
    ]
    lines = [Line(line.start, line.end, near=line.asked) for line in picture.lines]
    return svg(boxes, lines, f"The flow {picture.flow}: {len(boxes)} boxes", styled=styled)


def as_text(picture: Picture) -> str:
    """Return a picture as lines: each box below what it needs, with the boxes it takes from."""
    needs: dict[str, list[str]] = {}
    for line in picture.lines:
        needs.setdefault(line.end, []).append(line.start)
    columns = columns_of([box.name for box in picture.boxes], [(line.start, line.end) for line in picture.lines])
    width = max((len(box.name) + 3 * columns[box.name] for box in picture.boxes), default=0)
    rows = []
    for box in sorted(picture.boxes, key=lambda box: columns[box.name]):
        indent = "" if columns[box.name] == 0 else "   " * (columns[box.name] - 1) + "└─ "
        taken = f"  ← {', '.join(needs[box.name])}" if box.name in needs else ""
        rows.append(f"{indent + box.name:<{width}}  {_above(box)}{taken}")
    if picture.stopped_at:
        rows.append(f"… and what follows the value of {picture.stopped_at}, which is known once it has run")
    return "\n".join(rows)


def _above(box: PictureBox) -> str:
    times = f" × {box.calls}" if box.calls > 1 and len(box.steps) == 1 else ""
    inner = f" of {len(box.steps)} steps" if len(box.steps) > 1 else ""
    return f"{box.kind}{inner}{times}"
