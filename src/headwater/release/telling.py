"""Requests, decisions and releases as the messages to people say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headwater.errors import NotFoundError
from headwater.model.registry import read_version
from headwater.notify.telling import told

from .rows import read_request

if TYPE_CHECKING:
    from headwater.ledger import Tx


@told("request")
def say_request(tx: Tx, fact: Mapping[str, Any]) -> str:
    """Say what a request asks and what it waits for, or what became of it."""
    try:
        request = read_request(tx, str(fact["ref"]))
    except NotFoundError:
        return str(fact["ref"])
    what = f"{request.model} v{request.number} → {request.channel}"
    if request.status == "waiting":
        asks = f"{request.requested_by} asks: {request.reason} (request {request.id})"
        return f"{what} waits for {request.waits_for}; {asks}"
    return f"{what} is {request.status}{f': {request.why}' if request.why else ''} (request {request.id})"


@told("approval")
def say_decision(tx: Tx, fact: Mapping[str, Any]) -> str:
    """Say who said yes or no to what, and why."""
    if "person" not in fact:
        return str(fact["ref"])
    said = "approved" if fact.get("decision") == "approve" else "said no to"
    return f"{fact.get('person')} {said} {_subject(tx, fact)}: {fact.get('reason')}"


@told("release")
def say_release(tx: Tx, fact: Mapping[str, Any]) -> str:
    """Say what a channel points to now, what it replaced, and who moved it."""
    if "model" not in fact:
        return str(fact["ref"])
    was = f" (was v{fact['previous_number']})" if fact.get("previous_number") else ""
    back = "taken back" if fact.get("kind") == "rollback" else "released"
    where = f"{fact.get('model')}@{fact.get('channel')}"
    return f"{where} is v{fact.get('number')}{was}, {back} by {fact.get('person')}: {fact.get('reason')}"


def _subject(tx: Tx, fact: Mapping[str, Any]) -> str:
    """Return what a decision is about: a request, or the version that was reviewed."""
    try:
        request = read_request(tx, str(fact.get("request")))
        return f"{request.model} v{request.number} → {request.channel}"
    except NotFoundError:
        subjects = [row.parent for row in tx.edges_of(str(fact["ref"])) if row.role == "subject"]
        if subjects and subjects[0].startswith("modelversion:"):
            return read_version(tx, subjects[0]).label
        return subjects[0] if subjects else str(fact.get("request"))
