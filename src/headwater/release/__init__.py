"""Release: channels move here and nowhere else, when gates are open and the demanded approvals are there.

Gates read evidence and compute nothing. A release, its approvals and the moved channel are one transaction; going
back is one command, takes no gate and is recorded.
"""

from .gates import Gate, GateReader, gate
from .log import get_release, get_release_request, list_release_requests, release_log
from .requests import approve, check_gates, reject, request_release
from .rollback import rollback
from .rules import ChannelRules, channel_rules
from .values import Approval, GateResult, Release, ReleaseRequest

__all__ = [
    "Approval",
    "ChannelRules",
    "Gate",
    "GateReader",
    "GateResult",
    "Release",
    "ReleaseRequest",
    "approve",
    "channel_rules",
    "check_gates",
    "gate",
    "get_release",
    "get_release_request",
    "list_release_requests",
    "reject",
    "release_log",
    "request_release",
    "rollback",
]
