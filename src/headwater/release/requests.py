"""Asking for a release, and saying yes or no to it.

A request is ``waiting`` until it ends once and for all: ``released``, ``rejected`` or ``closed``. Each step is one
transaction that reads the request anew, so of two people who act at once the second sees what the first did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.access.approvals import Decision, record_decision, same_person
from headwater.errors import ConflictError, InvalidInputError, RefusedError
from headwater.model import ModelVersion, documents
from headwater.model.refs import check_channel
from headwater.model.registry import channel_head, get_model_version, read_version
from headwater.operation import operation
from headwater.project import Actor, Project

from .approvers import as_counted, require_may_approve, require_may_move
from .controller import ReleaseKind, settle
from .controller_rows import Because, asked_of, read_channel, release_asked
from .gates import GateReader, read_gates
from .rows import read_request
from .rules import ChannelRules, channel_rules
from .seats import seated
from .values import GateResult, ReleaseRequest, by_role

if TYPE_CHECKING:
    from headwater.ledger import WriteTx


@operation("release.request", needs="release:write")
def request_release(
    project: Project, version: str, channel: str, reason: str, *, kind: ReleaseKind = "direct"
) -> ReleaseRequest:
    """Ask that a channel point to a model version (``delay@v3``), and return the request.

    Its status says what came of it: ``released`` where gates are open and no approval is demanded, ``waiting`` for
    approvals, ``closed`` where a gate is closed. A closed request stays on record with what each gate found.
    A released ``canary`` answers a share of requests that grows by the channel's stages, and then moves the channel.

    Raises:
        ConflictError: the channel points to that version already, or the same is asked for and waiting.
        DeniedError: no approval is demanded, but to be signed in, and this person only claims a name.
        RefusedError: bytes of the version are gone, so that it could not be served.
        NotFoundError: there is no such version.
    """
    check_channel(channel)
    _require_reason(reason, "a request")
    wanted = get_model_version(project, version)
    _require_files(project, wanted)
    rules = channel_rules(project.settings, wanted.model, channel)
    if rules.people <= 0:
        require_may_move(project.actor, rules, channel)
    with project.ledger.write() as tx:
        champion = _champion(tx, wanted.model, channel)
        _require_news(tx, wanted, channel, champion)
        gates = _gates(tx, project, rules, wanted, channel, champion)
        request = _record(tx, project.actor, wanted, channel, kind, reason, rules, champion, gates)
        why = _closed_because(gates)
        if why:
            _end(tx, request, "closed", why, gates)
        elif rules.people <= 0:
            _release(tx, project.actor, rules, read_request(tx, request), gates)
        tx.announce("request", f"request:{request}")
        return read_request(tx, request)


@operation("release.approve", needs="release:approve")
def approve(project: Project, request: str, reason: str) -> ReleaseRequest:
    """Say yes to a waiting request; the last approval demanded releases it in the same transaction.

    The gates are read again before the channel moves: a request whose gate has closed since ends as ``closed``.

    Raises:
        ConflictError: the request is no longer waiting, the channel moved since it was made, or this person has
            decided already.
        DeniedError: this person may not approve it (its author, without the role, or with a claimed name).
    """
    _require_reason(reason, "an approval")
    with project.ledger.write() as tx:
        found = read_request(tx, request)
        _require_waiting(found)
        wanted = read_version(tx, found.version)
        champion = _champion(tx, found.model, found.channel)
        rules = channel_rules(project.settings, found.model, found.channel)
        moved = _moved_since(tx, found, rules, champion)
        if moved:
            _end(tx, found.id, "closed", moved, found.gates)
            tx.announce("request", found.ref)
        else:
            require_may_approve(project.actor, rules, found, wanted)
            # Who approved in a way that no longer counts (by a claimed name, say) may say so again.
            _decide(tx, project.actor, as_counted(found, rules, wanted), "approve", reason)
            _settle(tx, project, rules, read_request(tx, found.id), wanted, champion)
            return read_request(tx, found.id)
    # Raised after the transaction, so that the request is on record as closed.
    raise ConflictError(f"request {found.id} is closed: {moved}.", request=found.id)


@operation("release.reject", needs="release:approve")
def reject(project: Project, request: str, reason: str) -> ReleaseRequest:
    """Say no to a waiting request, which ends it; the author may, to withdraw it.

    Raises:
        ConflictError: the request is no longer waiting.
    """
    _require_reason(reason, "a rejection")
    with project.ledger.write() as tx:
        found = read_request(tx, request)
        _require_waiting(found)
        _decide(tx, project.actor, found, "reject", reason)
        _end(tx, found.id, "rejected", f"{project.actor} said no: {reason}", found.gates)
        tx.announce("request", found.ref)
        return read_request(tx, found.id)


@operation("release.gates", needs="release:read")
def check_gates(project: Project, version: str, channel: str) -> list[GateResult]:
    """Return what each gate of a channel says of a version now, without asking for anything."""
    check_channel(channel)
    with project.ledger.read() as tx:
        wanted = read_version(tx, version)
        rules = channel_rules(project.settings, wanted.model, channel)
        head = channel_head(tx, wanted.model, channel)
        champion = read_version(tx, head) if head else None
        reader = GateReader(tx, wanted, channel, champion, project.clock(), measured=rules.measured)
        return list(read_gates(project, rules.gates, reader))


def still_releasable(tx: WriteTx, project: Project, request: str) -> tuple[ReleaseRequest, tuple[GateResult, ...], str]:
    """Return a released request whose canary is to move the channel, with its gates, both by the rules that hold now.

    The request has those approvals alone that still count. The last is why it may not move the channel after all, ''
    where it may: an approval no longer counts, or a gate has closed since.
    """
    found = read_request(tx, request)
    wanted = read_version(tx, found.version)
    rules = channel_rules(project.settings, found.model, found.channel)
    found = as_counted(found, rules, wanted)
    gates = _gates(tx, project, rules, wanted, found.channel, _champion(tx, found.model, found.channel))
    asked = asked_of(found, rules)
    if len(asked.yes) < asked.needs:
        said = f"{len(asked.yes)} of {asked.needs} approvals count by the rules of {found.channel} now"
        missing = by_role(seated(found.approvals, rules, asked.needs).lacks) if rules.who else ""
        return found, gates, f"{said}: missing are {missing}" if missing else said
    return found, gates, _closed_because(gates)


def _settle(
    tx: WriteTx,
    project: Project,
    rules: ChannelRules,
    request: ReleaseRequest,
    wanted: ModelVersion,
    champion: ModelVersion | None,
) -> None:
    """Release a request that has the approvals it needs, or close it where a gate has closed since."""
    # Rules may have changed since it was asked for: the stricter number holds, and only who may approve now counts.
    request = as_counted(request, rules, wanted)
    asked, now = asked_of(request, rules), read_channel(tx, request.model, request.channel)
    if settle(now, asked, gates_open=True) == "waiting":
        lacks = seated(request.approvals, rules, asked.needs).lacks
        tx.execute("UPDATE release_requests SET lacks = ? WHERE id = ?", (documents.dump(lacks), request.id))
        tx.announce("request", request.ref)
        return
    gates = _gates(tx, project, rules, wanted, request.channel, champion)
    why = _closed_because(gates)
    if settle(now, asked, gates_open=not why) == "gate":
        _end(tx, request.id, "closed", why, gates)
        tx.announce("request", request.ref)
    else:
        _release(tx, project.actor, rules, request, gates)


def _release(
    tx: WriteTx,
    actor: Actor,
    rules: ChannelRules,
    request: ReleaseRequest,
    gates: tuple[GateResult, ...],
) -> None:
    because = Because(
        actor=actor,
        reason=request.reason,
        request=request.id,
        approvals=tuple(each for each in request.approvals if each.decision == "approve"),
        gates=gates,
    )
    moved = release_asked(tx, request, rules, because)
    begun = "" if moved else f"a canary begins with {rules.canary.stages[0]:g} % of the requests"
    _end(tx, request.id, "released", begun, gates)


def _gates(
    tx: WriteTx,
    project: Project,
    rules: ChannelRules,
    wanted: ModelVersion,
    channel: str,
    champion: ModelVersion | None,
) -> tuple[GateResult, ...]:
    return read_gates(project, rules.gates, GateReader(tx, wanted, channel, champion, tx.now, measured=rules.measured))


def _closed_because(gates: tuple[GateResult, ...]) -> str:
    """Return why a request cannot go on: what each closed gate found, wants, and who makes what is missing."""
    said = []
    for each in gates:
        if not each.open:
            help_text = f"; run: {each.do}" if each.do else ""
            said.append(f"gate {each.name} is closed: {each.found}; it wants {each.wants}{help_text}")
    return " · ".join(said)


def _champion(tx: WriteTx, model: str, channel: str) -> ModelVersion | None:
    head = channel_head(tx, model, channel)
    return read_version(tx, head) if head else None


def _record(
    tx: WriteTx,
    actor: Actor,
    wanted: ModelVersion,
    channel: str,
    kind: ReleaseKind,
    reason: str,
    rules: ChannelRules,
    champion: ModelVersion | None,
    gates: tuple[GateResult, ...],
) -> str:
    identifier = tx.new_id()
    tx.insert(
        "release_requests",
        id=identifier,
        model=wanted.model,
        version=wanted.id,
        number=wanted.number,
        channel=channel,
        kind=kind,
        reason=reason,
        requested_by=actor.name,
        claimed=int(actor.claimed),
        requested_at=tx.now,
        needs=rules.people,
        lacks=documents.dump(seated((), rules, rules.people).lacks),
        replaces=champion.id if champion else None,
        status="waiting",
        why="",
        decided_at=None,
        gates=documents.dump(gates),
    )
    return identifier


def _decide(tx: WriteTx, actor: Actor, request: ReleaseRequest, decision: Decision, reason: str) -> None:
    # One person is one voice, however the name is spelt; changing one's mind to a no is always possible.
    if any(same_person(each.by, actor.name) and each.decision == decision for each in request.approvals):
        raise ConflictError(
            f"{actor.name} has said '{decision}' to request {request.id} already: it takes another person.",
            request=request.id,
        )
    record_decision(
        tx,
        actor,
        decision,
        reason,
        request=request.id,
        subject=f"modelversion:{request.version}",
        about={"model": request.model, "channel": request.channel, "version": request.version},
    )


def _end(tx: WriteTx, request: str, status: str, why: str, gates: tuple[GateResult, ...]) -> None:
    changed = tx.execute(
        "UPDATE release_requests SET status = ?, why = ?, decided_at = ?, gates = ?, lacks = '[]' "
        "WHERE id = ? AND status = 'waiting'",
        (status, why, tx.now, documents.dump(gates), request),
    )
    if changed != 1:
        raise ConflictError(f"request {request} is no longer waiting. Look at it again.", request=request)


def _require_waiting(request: ReleaseRequest) -> None:
    if request.status != "waiting":
        why = f" ({request.why})" if request.why else ""
        raise ConflictError(
            f"request {request.id} for {request.model}@v{request.number} is {request.status} already{why}. "
            "Make a new request where something has changed.",
            request=request.id,
            status=request.status,
        )


def _moved_since(tx: WriteTx, request: ReleaseRequest, rules: ChannelRules, champion: ModelVersion | None) -> str:
    now = read_channel(tx, request.model, request.channel)
    if settle(now, asked_of(request, rules), gates_open=True) != "moved":
        return ""
    points = f"points to {champion.label} now" if champion else "points to nothing now"
    return f"{request.channel} {points}, which is not what this request was judged against; ask again"


def _require_news(tx: WriteTx, wanted: ModelVersion, channel: str, champion: ModelVersion | None) -> None:
    if champion and champion.id == wanted.id:
        raise ConflictError(f"{channel} points to {wanted.label} already: there is nothing to release.")
    waiting = tx.value(
        "SELECT id FROM release_requests WHERE model = ? AND channel = ? AND version = ? AND status = 'waiting'",
        (wanted.model, channel, wanted.id),
    )
    if waiting:
        raise ConflictError(
            f"request {waiting} asks for {wanted.label} in {channel} already: approve or reject that one.",
            request=waiting,
        )


def _require_files(project: Project, version: ModelVersion) -> None:
    missing = set(project.objects.missing([file.digest for file in version.files]))
    lost = [file.name for file in version.files if file.digest in missing]
    if lost:
        raise RefusedError(
            f"{version.label} cannot be served: the bytes of {', '.join(lost)} are gone. Register the model again.",
            version=version.id,
        )


def _require_reason(reason: str, what: str) -> None:
    if not reason.strip():
        raise InvalidInputError(f"{what} needs a reason: whoever reads the log later will ask for it.")
