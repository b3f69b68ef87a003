"""Operations are declared once; routes, types and the document are derived."""

from __future__ import annotations

import msgspec
import pytest

from headwater.api.openapi import openapi_document
from headwater.api.operations import argument_type, call_by_name, load_operations
from headwater.errors import (
    ConflictError,
    DeniedError,
    InvalidInputError,
    NotFoundError,
    as_document,
    error_classes,
    from_document,
)
from headwater.operation import Operation, operation
from headwater.project import Actor, LocalProject, Project
from headwater.project.permissions import GRANTS


def test_every_operation_can_be_called_by_name_and_is_in_the_document() -> None:
    operations = load_operations()
    document = openapi_document("test", "1")

    assert len(operations) > 60
    assert {f"/api/v1/operations/{each.name}" for each in operations} == set(document["paths"])
    for each in operations:
        assert issubclass(argument_type(each.name), msgspec.Struct)


def test_every_operation_needs_a_permission_that_some_role_grants() -> None:
    verbs = set().union(*GRANTS.values())

    for each in load_operations():
        assert each.needs.rpartition(":")[2] in verbs, each.name
        assert each.summary, each.name


def test_two_operations_cannot_have_one_name() -> None:
    @operation("test.twice", needs="test:read")
    def one(project: Project) -> int:
        """Return one."""
        return 1

    with pytest.raises(RuntimeError, match=r"test\.twice"):

        @operation("test.twice", needs="test:read")
        def two(project: Project) -> int:
            """Return two."""
            return 2

    import headwater.operation as module

    module._registry.pop("test.twice")


def test_an_argument_that_does_not_fit_is_named(sqlite_project: LocalProject) -> None:
    load_operations()

    with pytest.raises(InvalidInputError, match="colour"):
        call_by_name(sqlite_project, "data.log", b'{"dataset": "x", "colour": "red"}', "application/json")
    with pytest.raises(NotFoundError, match="no operation"):
        call_by_name(sqlite_project, "data.nothing", b"{}", "application/json")


def test_permission_and_audit_apply_at_the_outermost_call_only(sqlite_project: LocalProject) -> None:
    def inner(project: Project) -> str:
        return "done"

    def outer(project: Project) -> str:
        return str(project.call(Operation("test.inner", "test:admin", inner, True), (), {}))

    developer = sqlite_project.as_actor(Actor(name="dee", roles=("developer",)))

    assert developer.call(Operation("test.outer", "test:write", outer, True), (), {}) == "done"
    with pytest.raises(DeniedError):
        developer.call(Operation("test.inner", "test:admin", inner, True), (), {})
    with sqlite_project.ledger.read() as tx:
        assert [row.operation for row in tx.all("SELECT operation FROM audit ORDER BY id")] == ["test.outer"]


def test_an_error_comes_through_the_wire_as_the_class_that_has_its_kind() -> None:
    class Again(ConflictError):
        """A subclass without a kind of its own."""

    assert error_classes()["conflict"] is ConflictError
    assert type(from_document(as_document(Again("somebody was first", at=1)))) is ConflictError
