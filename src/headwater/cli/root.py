"""``hw``: the commands, the options they share, and how errors end."""

from __future__ import annotations

import sys

import click

from headwater.errors import HeadwaterError

from .context import Context
from .lazy import LazyGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("project_commands:init", "Make a project in a folder."),
    "status": ("project_commands:status", "What is in the project, and what waits for somebody."),
    "data": ("data_commands:data", "Datasets: add, log, show, diff, read, branch, tag, check out."),
    "ingest": ("ingest_commands:ingest", "Sources of data: list, show, pull, history, test."),
    "check": ("check_commands:check", "Run the data tests of a version; quarantine."),
    "run": ("flow_commands:run", "Run a flow; every step is remembered."),
    "flow": ("flow_commands:flow", "Flows: list, show, explain."),
    "runs": ("run_commands:runs", "Runs: list, show, compare, metrics, logs."),
    "tune": ("tune_commands:tune", "Search for parameters: a flow run with many, each trial a run."),
    "model": ("model_commands:model", "Models: list, show, card, evaluate, compare, predict."),
    "predict": ("predict_commands:predict", "A model's answers to a whole dataset, as a new version."),
    "release": ("release_commands:release", "Ask for a release, approve or reject it; what was in production when."),
    "rollback": ("release_commands:rollback", "Put back what was there before; no gate, recorded."),
    "serve": ("serve_commands:serve", "Answer predictions over HTTP."),
    "export": ("export_commands:export", "A model version as a wheel, ONNX, an image, a Deployment."),
    "up": ("serve_commands:up", "The server: pages, API, serving, scheduler, worker."),
    "worker": ("job_commands:worker", "Run jobs that wait."),
    "ci": ("ci_commands:ci", "The delivery pipeline: run it here, write it for GitHub or GoCD, report."),
    "deploy": ("deploy_commands:deploy", "Files that start workers elsewhere: Kubernetes, a bare machine."),
    "job": ("job_commands:job", "Jobs: list, submit, cancel, retry, pause."),
    "trigger": ("trigger_commands:trigger", "Triggers: list, fire, pause."),
    "stream": ("stream_commands:stream", "Flows over what keeps coming: list, run, status, accept."),
    "watch": ("monitor_commands:watch", "Run monitors; alarms."),
    "alarm": ("monitor_commands:alarm", "Alarms: list, show, acknowledge."),
    "trace": ("trace_commands:trace", "From anything to its sources, or to what came of it."),
    "replay": ("trace_commands:replay", "Execute predictions again and compare bytes; bundles."),
    "sql": ("trace_commands:sql", "Query events and datasets with SQL."),
    "verify": ("trace_commands:verify", "Check every digest, the chain and every reference; repair from a mirror."),
    "recover": ("space_commands:recover_command", "Make a project anew from its objects alone."),
    "head": ("trace_commands:head", "The head of the governance chain, to keep elsewhere."),
    "people": ("access_commands:people", "Accounts and roles."),
    "token": ("access_commands:token", "Tokens for programs and teammates."),
    "audit": ("access_commands:audit", "Who did what, and when."),
    "project": ("moving_commands:project_group", "Whole projects: copy to other stores, compare two."),
    "completion": ("reading_commands:completion_command", "The script that lets a shell complete commands and refs."),
    "upgrade": ("project_commands:upgrade", "Bring the project's schema up to this program's."),
    "api": ("project_commands:api", "The operations that programs can call."),
}


_DEFECT = "this is a defect of Headwater's own. What was recorded before stays; please report the lines above."


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    invoke_without_command=False,
)
@click.option("--project", "-p", metavar="PLACE", help="Folder or URL of the project; default: nearest upwards.")
@click.option("--as", "actor", metavar="NAME", help="Who you are (claimed and recorded as claimed).")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.version_option(package_name="headwater", message="%(version)s")
@click.pass_context
def cli(ctx: click.Context, project: str | None, actor: str | None, as_json: bool) -> None:
    """Headwater: from data to a prediction and back, on one ledger.

    Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 it broke.
    """
    ctx.obj = Context(place=project, actor=actor, as_json=as_json)


def main() -> None:
    """Run the command line and end the process with the exit code of what happened."""
    arguments = _json_anywhere(sys.argv[1:])
    wants_json = "--json" in arguments
    try:
        code = cli.main(arguments, prog_name="hw", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo("stopped.", err=True)
        sys.exit(130)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except HeadwaterError as error:
        _show(error, wants_json)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception:  # noqa: BLE001  # Python would end with 1, which here means that the answer is no
        import traceback

        traceback.print_exc()
        click.echo(f"{click.style('error: ', fg='red', bold=True)}{_DEFECT}", err=True)
        sys.exit(3)


def _json_anywhere(arguments: list[str]) -> list[str]:
    """Let ``--json`` stand anywhere on the line: it means the same for every command."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if "--json" not in arguments[:end]:
        return arguments
    rest = [word for word in arguments[:end] if word != "--json"] + arguments[end:]
    return ["--json", *rest]


def _show(error: HeadwaterError, as_json: bool) -> None:
    if as_json:
        import msgspec

        from headwater.errors import as_document

        document = msgspec.json.encode({"error": as_document(error)}, enc_hook=str)
        click.echo(document.decode())
        return
    trace = error.values.get("traceback")
    if trace:
        click.echo(str(trace).rstrip(), err=True)
    click.echo(click.style("error: ", fg="red", bold=True, reset=True) + error.message, err=True)
