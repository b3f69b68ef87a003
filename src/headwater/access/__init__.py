"""People, roles, tokens, and the audit of who did what.

A server without people believes claimed names and therefore answers on loopback only. The first person added
switches accounts on: from then on a request carries a token or a signed-in session.
"""

from .accounts import Person, add_person, disable_person, list_people, set_roles, sign_in
from .actors import accounts_exist, actor_of_claim, actor_of_person, actor_of_token
from .audit import AuditEntry, list_audit
from .tokens import NewToken, Token, create_token, list_tokens, revoke_token

__all__ = [
    "AuditEntry",
    "NewToken",
    "Person",
    "Token",
    "accounts_exist",
    "actor_of_claim",
    "actor_of_person",
    "actor_of_token",
    "add_person",
    "create_token",
    "disable_person",
    "list_audit",
    "list_people",
    "list_tokens",
    "revoke_token",
    "set_roles",
    "sign_in",
]
