"""Signatures of webhooks, made and checked here alone: HMAC-SHA256 with a secret that both sides hold."""

from __future__ import annotations

import hashlib
import hmac
import re

from headwater.errors import UnauthenticatedError

HEADER = "Headwater-Signature"
_SIGNED = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


def body_signature(secret: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of a body in hex, as GitHub and others send it."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def timed_signature(secret: str, timestamp_s: int, body: bytes) -> str:
    """Return the ``Headwater-Signature`` of a body: ``t=<seconds>,v1=<HMAC-SHA256 of "<seconds>." and the body>``."""
    return f"t={timestamp_s},v1={body_signature(secret, f'{timestamp_s}.'.encode() + body)}"


def is_body_signed(given: str, secret: str, body: bytes) -> bool:
    """Tell whether a header holds the signature of a body, ``sha256=`` before it or not."""
    return hmac.compare_digest(
        body_signature(secret, body).encode(), given.strip().lower().removeprefix("sha256=").encode()
    )


def require_timed_signature(given: str, secret: str, body: bytes, *, now_s: int, tolerance_s: int) -> str:
    """Return the signature's hex when it is of this body and was made within ``tolerance_s`` of now.

    Raises:
        UnauthenticatedError: it is missing, wrong, too old, or from the future.
    """
    found = _SIGNED.fullmatch(given.strip())
    if not found:
        raise UnauthenticatedError(
            f"{HEADER} is missing or not written as 't=<seconds>,v1=<hex>'. Sign '<seconds>.' and the body with the "
            "shared secret (HMAC-SHA256)."
        )
    made_s = int(found[1])
    if not hmac.compare_digest(timed_signature(secret, made_s, body).encode(), given.strip().encode()):
        raise UnauthenticatedError(
            f"{HEADER} is not that of this body under the shared secret. Sign '<seconds>.' and the body exactly as it "
            "is sent."
        )
    if abs(now_s - made_s) > tolerance_s:
        raise UnauthenticatedError(
            f"{HEADER} was made {abs(now_s - made_s):,} s {'ago' if made_s < now_s else 'ahead'}, and only "
            f"{tolerance_s:,} s are allowed. Sign again with the time of now, and check both clocks.",
            made_s=made_s,
            now_s=now_s,
        )
    return found[2]
