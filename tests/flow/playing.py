"""Writing the flows of a project and running them."""

from __future__ import annotations

import textwrap
from typing import Any

from headwater.flow import Outcome, execute_flow
from headwater.project import Project

HEAD = "from headwater.flow import step, flow, DataRef, active_run\n"


def write(project: Project, text: str, name: str = "flows.py") -> None:
    assert project.root is not None
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((HEAD if name == "flows.py" else "") + textwrap.dedent(text))


def run(project: Project, flow: str = "main", **arguments: Any) -> Outcome:
    return execute_flow(project, flow, arguments)


def outcomes(outcome: Outcome) -> list[str]:
    return [task.outcome for task in outcome.tasks]


CHAIN = """
    @step
    def double(x):
        print("doubling", x)
        return x * 2

    @step
    def join(a, b):
        return [a, b]

    @flow
    def main(x=1):
        return join(double(x), double(x + 1))
"""


MODELS = """
    class Model:
        def __init__(self, k):
            self.k = k

        def predict(self, x):
            return x SIGN self.k
"""
