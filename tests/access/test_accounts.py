from __future__ import annotations

from pathlib import Path

import pytest

from headwater.access import (
    accounts_exist,
    actor_of_claim,
    actor_of_token,
    add_person,
    create_token,
    disable_person,
    list_tokens,
    revoke_token,
    set_roles,
    sign_in,
)
from headwater.access.actors import LOOK_AGAIN_S
from headwater.errors import ConflictError, InvalidInputError, NotFoundError, UnauthenticatedError, UnavailableError
from headwater.project import LocalProject, create_project, open_project

DAY_US = 86_400_000_000


def test_the_first_account_ends_claimed_names(sqlite_project: LocalProject) -> None:
    assert actor_of_claim(sqlite_project, "ben").claimed
    add_person(sqlite_project, "maria", ["admin"])

    assert accounts_exist(sqlite_project)
    with pytest.raises(UnauthenticatedError, match="hw token create"):
        actor_of_claim(sqlite_project, "ben")


def test_an_account_made_by_another_process_ends_claimed_names_soon(
    project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("headwater.access.actors.time.monotonic", lambda: now)
    with create_project(project_folder) as server, open_project(project_folder) as other:
        assert isinstance(other, LocalProject)
        assert not accounts_exist(server)
        add_person(other, "maria", ["admin"])

        now = LOOK_AGAIN_S
        with pytest.raises(UnauthenticatedError, match="accounts"):
            actor_of_claim(server, "ben")


def test_a_ledger_that_does_not_answer_is_not_taken_for_one_without_accounts(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_person(sqlite_project, "maria", ["admin"])
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_project.ledger, "read", _away)
        for _ in range(2):
            with pytest.raises(UnavailableError):
                actor_of_claim(sqlite_project, "ben")

    with pytest.raises(UnauthenticatedError):
        actor_of_claim(sqlite_project, "ben")


def _away() -> None:
    raise UnavailableError("the database does not answer.")


def test_a_password_is_right_or_not_and_an_unknown_name_reads_the_same(sqlite_project: LocalProject) -> None:
    add_person(sqlite_project, "maria", ["viewer"], password="correct horse")

    assert sign_in(sqlite_project, "maria", "correct horse").name == "maria"
    said = set()
    for name, password in (("maria", "correct house"), ("nobody", "correct horse")):
        with pytest.raises(UnauthenticatedError) as error:
            sign_in(sqlite_project, name, password)
        said.add(error.value.message)
    assert len(said) == 1


def test_a_password_is_nowhere_kept_as_it_is(sqlite_project: LocalProject) -> None:
    add_person(sqlite_project, "maria", ["viewer"], password="correct horse")

    with sqlite_project.ledger.read() as tx:
        kept = tx.value("SELECT password FROM people")
        told = [row.subject for row in tx.all("SELECT subject FROM audit")]
    assert str(kept).startswith("$argon2id$")
    assert not any("correct horse" in text for text in told)


def test_a_short_password_an_unknown_role_and_a_taken_name_are_refused(sqlite_project: LocalProject) -> None:
    with pytest.raises(InvalidInputError, match="10 characters"):
        add_person(sqlite_project, "maria", ["viewer"], password="short")
    with pytest.raises(InvalidInputError, match="developer"):
        add_person(sqlite_project, "maria", ["king"])
    add_person(sqlite_project, "maria", ["viewer"])
    with pytest.raises(ConflictError, match="hw people roles"):
        add_person(sqlite_project, "maria", ["viewer"])


def test_a_token_acts_as_its_person_with_the_roles_they_still_have(sqlite_project: LocalProject) -> None:
    add_person(sqlite_project, "maria", ["developer", "approver"])
    text = create_token(sqlite_project, "maria").text

    assert set(actor_of_token(sqlite_project, text).roles) == {"developer", "approver"}
    set_roles(sqlite_project, "maria", ["approver", "viewer"])
    assert actor_of_token(sqlite_project, text).roles == ("approver",)
    disable_person(sqlite_project, "maria")
    with pytest.raises(UnauthenticatedError):
        actor_of_token(sqlite_project, text)


def test_a_token_works_until_it_expires_or_is_revoked(project_folder: Path) -> None:
    now = [1_767_225_600_000_000]
    with create_project(project_folder / "clocked", actor="ann", clock=lambda: now[0]) as project:
        add_person(project, "maria", ["viewer"])
        short, long = create_token(project, "maria", days=1), create_token(project, "maria")
        assert actor_of_token(project, short.text).name == "maria"

        now[0] += DAY_US
        with pytest.raises(UnauthenticatedError, match="expired"):
            actor_of_token(project, short.text)
        assert actor_of_token(project, long.text).name == "maria"
        revoke_token(project, long.token.id)
        with pytest.raises(UnauthenticatedError, match="not valid"):
            actor_of_token(project, long.text)
        with pytest.raises(NotFoundError):
            revoke_token(project, long.token.id)


def test_a_token_cannot_have_more_than_its_person(sqlite_project: LocalProject) -> None:
    add_person(sqlite_project, "maria", ["viewer"])

    with pytest.raises(InvalidInputError, match="admin"):
        create_token(sqlite_project, "maria", roles=["admin"])
    assert list_tokens(sqlite_project) == []


def test_the_text_of_a_token_is_nowhere_kept(sqlite_project: LocalProject) -> None:
    add_person(sqlite_project, "maria", ["viewer"])
    text = create_token(sqlite_project, "maria").text

    for path in sqlite_project.folder.rglob("*"):
        assert not path.is_file() or text.encode() not in path.read_bytes(), path
