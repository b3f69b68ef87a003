"""Release: channels move here and nowhere else, when gates are open and the demanded approvals are there.

Gates read evidence and compute nothing. A release, its approvals and the moved channel are one transaction; going
back is one command, takes no gate and is recorded.
"""

from . import telling  # noqa: F401  # declares how messages say what is recorded here
from .channels import ChannelState, list_channels
from .controller_acts import (
    RolloutFigures,
    RolloutRecord,
    get_rollout,
    list_rollouts,
    run_controller,
    start_shadow,
    stop_rollout,
)
from .controller_rules import CanaryRules
from .gates import Gate, GateReader, gate
from .log import get_release, get_release_request, list_release_requests, release_log
from .requests import approve, check_gates, reject, request_release
from .reviews import Review, list_reviews, review_version
from .rollback import rollback
from .rules import ChannelRules, channel_rules
from .values import Approval, GateResult, Release, ReleaseRequest

__all__ = [
    "Approval",
    "CanaryRules",
    "ChannelRules",
    "ChannelState",
    "Gate",
    "GateReader",
    "GateResult",
    "Release",
    "ReleaseRequest",
    "Review",
    "RolloutFigures",
    "RolloutRecord",
    "approve",
    "channel_rules",
    "check_gates",
    "gate",
    "get_release",
    "get_release_request",
    "get_rollout",
    "list_channels",
    "list_release_requests",
    "list_reviews",
    "list_rollouts",
    "reject",
    "release_log",
    "request_release",
    "review_version",
    "rollback",
    "run_controller",
    "start_shadow",
    "stop_rollout",
]
