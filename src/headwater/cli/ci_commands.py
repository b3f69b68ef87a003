"""``hw ci``: the delivery pipeline, here and in a team's CI system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import Context, pass_context, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.project import Project
    from headwater.release.delivery import Command, Delivery, Done, Pipeline

_STAGES = ("source", "build", "test", "staging", "approval", "production", "rollback")
_DELIVERY = click.option(
    "--delivery",
    "delivery_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that stages hand on; default: .headwater/delivery.json in the project's folder.",
)


@click.group()
def ci() -> None:
    """The delivery pipeline: source, build, test, staging, approval, production, rollback.

    [ci] in headwater.toml says what is delivered. 'hw ci run' walks the stages here; 'hw ci init' writes the file
    with which GitHub or GoCD walks the same ones.
    """


@ci.command("init")
@click.argument("system", type=click.Choice(["github", "gocd"]))
@click.option("--model", help="The model that is delivered.")
@click.option("--flow", help="The flow that trains it and registers a version.")
@click.option("--data", help="The dataset that the flow learns from: flights@main.")
@click.option("--target", help="The column that holds the truth.")
@click.option("--argument", default="data", show_default=True, help="The flow's argument that names the data.")
@click.option("--test-data", default="", help="What candidates are measured on; default: --data.")
@click.option("--test", "tests", multiple=True, metavar="COMMAND", help="A test of the team's own (repeatable).")
@click.option("--branch", default="main", show_default=True, help="The branch of the repository to deliver from.")
@click.option("--force", is_flag=True, help="Replace files that were edited.")
@pass_context
def init_command(context: Context, /, system: str, branch: str, force: bool, **options: Any) -> None:
    """Write the pipeline of this project for SYSTEM into its repository.

    Where headwater.toml has no [ci] table, --model, --flow, --data and --target make one.
    """
    from headwater.release.delivery import find_repository, write_files

    root = _root(context)
    _declare(root, options)
    written = write_files(root, system, branch=branch, force=force)
    repository = find_repository(root)
    context.show(
        written,
        lambda: "\n".join(
            [*(f"{each.outcome}: {repository / each.path}" for each in written), "'hw ci run' walks its stages here"]
        ),
    )


@ci.command("run")
@click.argument("stage", required=False, metavar="[STAGE]", type=click.Choice(_STAGES))
@_DELIVERY
@click.option("--reason", "-r", default="", help="Why; recorded with requests and rollbacks. Default: commit and data.")
@click.option("--report", default="report.md", show_default=True, help="Where the test stage writes its report.")
@click.option("--new", is_flag=True, help="Begin a new delivery, also where one waits for approval.")
@pass_context
def run_command(
    context: Context, stage: str | None, delivery_file: Path | None, reason: str, report: str, new: bool
) -> int:
    """Walk the stages of a delivery, or run one STAGE. Exit code 1 when one fails or waits for a person.

    It stops where an approval is missing; once somebody approved, 'hw ci run' goes on. 'hw ci run rollback' puts back
    what production pointed to before this delivery. What was done before is remembered: a new delivery of the same
    code and data trains nothing.
    """
    from headwater.release.delivery import read_delivery

    root = _root(context)
    path = delivery_file or root / ".headwater" / "delivery.json"
    known = None if new else read_delivery(path)
    with context.open() as project:
        walking = _Walking(context, project, root, path, reason=reason, report=report)
        outcomes = walking.walk(known) if stage is None else walking.one(known, stage)
    ended = {"outcomes": outcomes, "delivery": walking.delivery}
    context.show(ended, lambda: _summary(outcomes))
    return 0 if all(outcome == "passed" for outcome in outcomes.values()) else 1


@ci.command("status")
@_DELIVERY
@pass_context
def status_command(context: Context, delivery_file: Path | None) -> None:
    """Show how far the delivery got, and what it works on."""
    from headwater.errors import NotFoundError
    from headwater.release.delivery import STAGES, read_delivery

    path = delivery_file or _root(context) / ".headwater" / "delivery.json"
    found = read_delivery(path)
    if found is None:
        raise NotFoundError(f"no delivery was begun: '{path}' is not there. 'hw ci run' begins one.")
    known = [(name, getattr(found, name)) for name in ("commit", "data", "candidate", "champion", "request")]

    def state(stage: str) -> str:
        if stage == "production" and found.waits:
            return "waits"
        return "passed" if stage in found.passed else "failed" if stage == found.failed else ""

    context.show(
        found,
        lambda: "\n".join([table(("what", "is"), known), "", table(("stage", ""), [(s, state(s)) for s in STAGES])]),
    )


@ci.command("report")
@click.argument("candidate")
@click.option("--channel", default="production", show_default=True, help="Whose gates and whose present version.")
@click.option("--against", default="", help="A version to compare with; default: what CHANNEL points to.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@pass_context
def report_command(context: Context, candidate: str, channel: str, against: str, output: Path | None) -> None:
    """Print the metric report of CANDIDATE against the champion.

    It is Markdown for a pull request, made of recorded evidence: metrics with intervals, slices, gates, what changed.
    """
    from headwater.release.delivery import release_report

    with context.open() as project:
        text = release_report(project, candidate, channel, against=against)
    if output is not None:
        output.write_text(text, encoding="utf-8")
        context.show({"path": str(output)}, lambda: f"wrote {output}")
    else:
        context.show({"report": text}, lambda: text)


class _Kept(Context):
    """A context that keeps the answer of the command it is given to; ``quiet`` ones show nothing."""

    def __init__(self, outer: Context) -> None:
        super().__init__(outer.place, outer.actor, outer.as_json)
        self.answer: Any = None

    def show(self, value: Any, render: Callable[[], str | None] | None = None) -> None:
        self.answer = value
        if not self.as_json:
            super().show(value, render)


class _Walking:
    """What ``hw ci run`` does: it performs the commands of stages here, as if they had been typed."""

    def __init__(self, context: Context, project: Project, root: Path, path: Path, *, reason: str, report: str) -> None:
        from headwater.release import channel_rules
        from headwater.release.delivery import read_pipeline

        self.context = context
        self.project = project
        self.root = root
        self.path = path
        self.reason = reason
        self.report = report
        settings = _settings(root)
        self.pipeline: Pipeline = read_pipeline(settings)
        rules = channel_rules(settings, self.pipeline.model, self.pipeline.production)
        self.demands_approval = rules.people > 0
        self.delivery: Delivery | None = None

    def walk(self, known: Delivery | None) -> dict[str, str]:
        """Walk all stages, or those that are left of a delivery that waits; a failed production is taken back."""
        from headwater.release.delivery import STAGES

        goes_on = known is not None and known.waits
        begun = known if known is not None and goes_on else self._begun()
        if goes_on:
            self._tell(f"going on with {begun.candidate}, which waits for production (--new begins again)")
        outcomes: dict[str, str] = {}
        for stage in STAGES[len(begun.passed) :]:
            try:
                outcomes |= self.one(self.delivery or begun, stage)
            except Exception:
                if stage == "production":
                    self.one(self.delivery, "rollback")
                raise
            if outcomes[stage] != "passed":
                break
        if outcomes.get("production") == "failed":
            outcomes |= self.one(self.delivery, "rollback")
        return outcomes

    def one(self, known: Delivery | None, stage: str) -> dict[str, str]:
        """Run one stage of a delivery; ``source`` begins a new one."""
        from headwater.release.delivery import Walk, run_stage

        begun = self._begun() if known is None or (stage == "source" and known.passed) else known
        walk = Walk(
            self.project, self.pipeline, begun, demands_approval=self.demands_approval, reason=self._why(begun),
            report=self.report, perform=self._perform, tell=self._tell, keep=self._keep,
        )  # fmt: skip
        outcome = run_stage(walk, stage)
        self.delivery = walk.delivery
        return {stage: outcome}

    def _begun(self) -> Delivery:
        from headwater.release.delivery import Delivery
        from headwater.track.capture import capture_environment

        return Delivery(commit=capture_environment(self.root).get("commit", ""))

    def _why(self, delivery: Delivery) -> str:
        if self.reason.strip():
            return self.reason
        parts = [f"commit {delivery.commit[:12]}" if delivery.commit else "", delivery.data]
        return f"delivery of {self.pipeline.model}: " + (", ".join(part for part in parts if part) or "taken back")

    def _keep(self, delivery: Delivery) -> None:
        from headwater.release.delivery import write_delivery

        self.delivery = delivery
        write_delivery(self.path, delivery)

    def _tell(self, line: str) -> None:
        if not self.context.as_json:
            click.secho(line, bold=line.startswith("—"))

    def _perform(self, command: Command) -> Done:
        from headwater.release.delivery import Done

        if command.program:
            return Done(_program(command, self.root, quiet=self.context.as_json))
        from .root import cli

        kept = _Kept(self.context)
        group = cli.get_command(click.Context(cli), command.words[0])
        assert group is not None, command
        code = group.main(list(command.words[1:]), prog_name=f"hw {command.words[0]}", standalone_mode=False, obj=kept)
        return Done(code if isinstance(code, int) else 0, kept.answer)


def _program(command: Command, root: Path, *, quiet: bool) -> int:
    """Run a program of the team's own in the project's folder; return its exit code."""
    import subprocess
    import sys

    from headwater.errors import InvalidInputError

    try:
        # With JSON asked for, standard output is the answer's alone.
        return subprocess.run(command.words, cwd=root, check=False, stdout=sys.stderr if quiet else None).returncode
    except OSError as error:
        raise InvalidInputError(
            f"the test '{command}' of [ci] cannot be run: {error.strerror}. Is it installed, and spelt so?"
        ) from error


def _declare(root: Path, options: dict[str, Any]) -> None:
    """Write ``[ci]`` where it is not declared yet."""
    from headwater.release.delivery import Pipeline, declare, installing

    needed = ("model", "flow", "data", "target")
    given = [name for name in needed if options[name]]
    if _settings(root).table("ci"):
        if given:
            raise click.UsageError(f"headwater.toml has a [ci] table: edit that one, and leave out --{given[0]}.")
        return
    missing = [f"--{name}" for name in needed if name not in given]
    if missing:
        raise click.UsageError(f"headwater.toml has no [ci] table; to make one, give {', '.join(missing)} too.")
    declare(root, Pipeline(**options, install=installing(root)))


def _settings(root: Path) -> Any:
    from headwater.project.settings import FILE, Settings

    return Settings.read(root / FILE)


def _root(context: Context) -> Path:
    """Return the folder of the code: the project's, or where it is opened by URL, the nearest with headwater.toml."""
    from headwater.project import find_root

    if context.place and not context.place.startswith(("http://", "https://")):
        return Path(context.place).absolute()
    return find_root(Path.cwd())


def _summary(outcomes: dict[str, str]) -> str:
    last, outcome = list(outcomes.items())[-1]
    return "" if outcome != "passed" else f"{last} passed"
