"""``hw people``, ``hw token``, ``hw audit``."""

from __future__ import annotations

import click

from .context import Context, pass_context, table, when


@click.group()
def people() -> None:
    """Accounts and roles. The first account switches claimed names off on servers of this project."""


@people.command("add")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    help="viewer, developer, approver, service, admin, or one that a channel demands.",
)
@click.option("--password", is_flag=True, help="Ask for a password, for signing in to the pages.")
@pass_context
def add(context: Context, name: str, roles: tuple[str, ...], password: bool) -> None:
    """Give NAME an account with these roles."""
    from headwater.access import add_person

    secret = click.prompt("password", hide_input=True, confirmation_prompt=True) if password else None
    with context.open() as project:
        person = add_person(project, name, roles, password=secret)
    context.show(person, lambda: f"{person.name} has an account: {', '.join(person.roles)}")


@people.command("roles")
@click.argument("name")
@click.argument("roles", nargs=-1, required=True)
@pass_context
def roles(context: Context, name: str, roles: tuple[str, ...]) -> None:
    """Replace the roles of NAME."""
    from headwater.access import set_roles

    with context.open() as project:
        person = set_roles(project, name, roles)
    context.show(person, lambda: f"{person.name} now has: {', '.join(person.roles)}")


@people.command("disable")
@click.argument("name")
@pass_context
def disable(context: Context, name: str) -> None:
    """Close an account; its tokens and sessions stop working at once."""
    from headwater.access import disable_person

    with context.open() as project:
        person = disable_person(project, name)
    context.show(person, lambda: f"the account of {person.name} is closed")


@people.command("list")
@pass_context
def list_all(context: Context) -> None:
    """Show who has an account."""
    from headwater.access import list_people

    with context.open() as project:
        found = list_people(project)
    context.show(
        found,
        lambda: table(
            ("name", "roles", "since", "closed"),
            [(p.name, ", ".join(p.roles), when(p.created_at), when(p.disabled_at)) for p in found],
        ),
    )


@click.group()
def token() -> None:
    """Tokens for programs and teammates, sent as $HEADWATER_TOKEN."""


@token.command("create")
@click.argument("person")
@click.option("--label", default="", help="What it is for.")
@click.option("--role", "roles", multiple=True, help="Only these of the person's roles.")
@click.option("--days", type=click.IntRange(1), help="How long it works; default: until revoked.")
@pass_context
def create(context: Context, person: str, label: str, roles: tuple[str, ...], days: int | None) -> None:
    """Make a token for PERSON and show its text, this once."""
    from headwater.access import create_token

    with context.open() as project:
        made = create_token(project, person, label=label, roles=roles or None, days=days)
    context.show(made, lambda: f"{made.text}\nThis text is not kept: store it now. Its id is {made.token.id}.")


@token.command("list")
@click.option("--person", help="Only this person's.")
@pass_context
def list_tokens_command(context: Context, person: str | None) -> None:
    """Show tokens, without their texts."""
    from headwater.access import list_tokens

    with context.open() as project:
        found = list_tokens(project, person)
    context.show(
        found,
        lambda: table(
            ("id", "person", "label", "roles", "made", "expires", "revoked"),
            [
                (
                    t.id,
                    t.person,
                    t.label,
                    ", ".join(t.roles),
                    when(t.created_at),
                    when(t.expires_at),
                    when(t.revoked_at),
                )
                for t in found
            ],
        ),
    )


@token.command("revoke")
@click.argument("identifier", metavar="ID")
@pass_context
def revoke(context: Context, identifier: str) -> None:
    """Make a token useless."""
    from headwater.access import revoke_token

    with context.open() as project:
        revoke_token(project, identifier)
    context.show({"revoked": identifier}, lambda: "revoked")


@click.command()
@click.option("--by", "actor", help="Only what this person did.")
@click.option("--operation", "prefix", default="", help="Only operations that begin so, such as 'release'.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@pass_context
def audit(context: Context, actor: str | None, prefix: str, limit: int) -> None:
    """Who did what, newest first."""
    from headwater.access import list_audit

    with context.open() as project:
        entries = list_audit(project, actor=actor, prefix=prefix, limit=limit)
    context.show(
        entries,
        lambda: table(
            ("when", "who", "operation", "on", "outcome"),
            [
                (when(e.at), e.actor + (" (claimed)" if e.claimed else ""), e.operation, e.subject[:60], e.outcome)
                for e in entries
            ],
        ),
    )
