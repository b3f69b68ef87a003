"""The monitors that headwater.toml declares."""

from __future__ import annotations

import msgspec

from headwater.errors import InvalidInputError, NotFoundError
from headwater.operation import operation
from headwater.project import Project

from .spans import check_window, duration_us
from .values import Monitor


@operation("monitor.list", needs="monitor:read")
def list_monitors(project: Project) -> list[Monitor]:
    """Return the monitors that headwater.toml declares, in its order.

    Raises:
        InvalidInputError: a declaration cannot be understood; the message says which and why.
    """
    return declared_monitors(project)


@operation("monitor.get", needs="monitor:read")
def get_monitor(project: Project, name: str) -> Monitor:
    """Return the monitor of that name.

    Raises:
        NotFoundError: headwater.toml declares none of that name.
    """
    monitors = declared_monitors(project)
    for monitor in monitors:
        if monitor.name == name:
            return monitor
    known = ", ".join(monitor.name for monitor in monitors) or "none"
    raise NotFoundError(f"there is no monitor '{name}' in headwater.toml; declared are: {known}.", name=name)


def declared_monitors(project: Project) -> list[Monitor]:
    """Return the declared monitors; see ``list_monitors``."""
    found = [_parse(row, number) for number, row in enumerate(project.settings.rows("monitors"), 1)]
    names = [monitor.name for monitor in found]
    double = {name for name in names if names.count(name) > 1}
    if double:
        raise InvalidInputError(f"two [[monitors]] are called '{double.pop()}': their windows would be mixed up.")
    return found


def _parse(row: dict[str, object], number: int) -> Monitor:
    where = f"[[monitors]] number {number} ('{row.get('name', 'without a name')}') in headwater.toml"
    unknown = set(row) - set(Monitor.__struct_fields__)
    if unknown:
        known = ", ".join(Monitor.__struct_fields__)
        raise InvalidInputError(f"{where} has the unknown setting '{sorted(unknown)[0]}'; there are {known}.")
    try:
        monitor = msgspec.convert(row, Monitor)
        check_window(monitor.window)
        duration_us(monitor.lag)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{where} cannot be used: {error}.") from error
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error.message}") from error
    if not 0 < monitor.alpha < 1:
        raise InvalidInputError(f"{where}: alpha is a chance between 0 and 1, not {monitor.alpha}.")
    if not monitor.name or not monitor.kinds:
        raise InvalidInputError(f"{where} needs a name, and at least one of the kinds quality, drift, performance.")
    return monitor
