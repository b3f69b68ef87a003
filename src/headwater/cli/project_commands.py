"""``hw init``, ``hw status``, ``hw upgrade``, ``hw api``."""

from __future__ import annotations

from pathlib import Path

import click

from .context import Context, pass_context, table


@click.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", help="The project's name; default: the folder's.")
@click.option("--ledger", help="postgresql://… ; default: SQLite in the folder.")
@click.option("--objects", help="s3://BUCKET/PREFIX ; default: files in the folder.")
@pass_context
def init(context: Context, folder: Path, name: str | None, ledger: str | None, objects: str | None) -> None:
    """Make a project in FOLDER: headwater.toml and .headwater/."""
    from headwater.project import create_project

    with create_project(folder, name=name, ledger_url=ledger, objects_url=objects, actor=context.actor) as project:
        answer = {"id": project.id, "name": project.name, "folder": str(project.folder)}
    context.show(
        answer,
        lambda: (
            f"project '{answer['name']}' is in {answer['folder']}\n"
            "next: hw data add DATASET FILES, then write flows.py and hw run FLOW; hw up shows the pages"
        ),
    )


@click.command()
@pass_context
def status(context: Context) -> None:
    """Show what is in the project, and what waits for somebody."""
    from headwater.api.operations import load_operations
    from headwater.lake import list_datasets
    from headwater.model import list_models
    from headwater.monitor import list_alarms
    from headwater.release import list_release_requests
    from headwater.track import list_runs

    load_operations()
    with context.open() as project:
        datasets = list_datasets(project)
        models = list_models(project)
        runs = list_runs(project, limit=5).runs
        waiting = list_release_requests(project, status="waiting")
        alarms = list_alarms(project, open_only=True)
        head = {"project": project.name, "id": project.id, "as": str(project.actor)}
    answer = {**head, "datasets": datasets, "models": models, "runs": runs, "waiting": waiting, "alarms": alarms}

    def render() -> str:
        lines = [f"{head['project']} ({head['id']}), as {head['as']}"]
        lines.append(f"{len(datasets)} datasets: " + (", ".join(d.name for d in datasets[:12]) or "none yet"))
        for model in models:
            places = ", ".join(f"{channel}" for channel in model.channels) or "no channel yet"
            lines.append(f"model {model.name}: {model.versions} versions; {places}")
        lines += [f"run {r.name} …{r.id[-6:]}: {r.status}" for r in runs]
        lines += [f"waits for approval: {r.model} v{r.number} → {r.channel} ({r.id})" for r in waiting]
        lines += [click.style(f"alarm: {a.title} ({a.id})", fg="red") for a in alarms]
        return "\n".join(lines)

    context.show(answer, render)


@click.command()
@pass_context
def upgrade(context: Context) -> None:
    """Bring the project's schema up to this program's, after a backup."""
    from headwater.ledger.upgrade import upgrade as upgrade_ledger
    from headwater.project import find_root
    from headwater.project.base import utc_now_us
    from headwater.project.local import ledger_url
    from headwater.project.settings import FILE, Settings

    root = Path(context.place).absolute() if context.place else find_root(Path.cwd())
    done = upgrade_ledger(ledger_url(root, Settings.read(root / FILE)), utc_now_us)
    context.show(done, lambda: str(done))


@click.group()
def api() -> None:
    """The operations that programs can call over HTTP, and their description."""


@api.command("operations")
@pass_context
def operations(context: Context) -> None:
    """Show every operation and the permission it needs."""
    from headwater.api.operations import load_operations

    found = [{"name": o.name, "needs": o.needs, "summary": o.summary} for o in load_operations()]
    context.show(found, lambda: table(("operation", "needs", "does"), [tuple(o.values()) for o in found]))


@api.command("openapi")
@pass_context
def openapi(context: Context) -> None:
    """Print the OpenAPI document."""
    import msgspec

    from headwater import __version__
    from headwater.api.openapi import openapi_document

    click.echo(msgspec.json.format(msgspec.json.encode(openapi_document("Headwater", __version__)), indent=2).decode())
