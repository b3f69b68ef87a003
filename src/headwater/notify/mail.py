"""Sending an e-mail through a server (SMTP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.errors import RefusedError, UnavailableError

from .declared import Mail

if TYPE_CHECKING:
    import smtplib

TIMEOUT_S = 20.0
_LONGEST_SUBJECT = 150


def send(way: Mail, subject: str, text: str, *, delivery: str) -> str:
    """Send a plain-text message to all addresses and return what the server said.

    Raises:
        RefusedError: the server refuses the message, an address or the password for good (5xx).
        UnavailableError: the server does not answer, or asks to try again.
    """
    import smtplib
    import ssl
    from email.message import EmailMessage

    message = EmailMessage()
    message["Subject"] = " ".join(subject.split())[:_LONGEST_SUBJECT]
    message["From"] = way.sender
    message["To"] = ", ".join(way.to)
    message["Message-ID"] = f"<{delivery}@headwater>"  # the same at each attempt: a second copy can be told
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    try:
        with _connect(way) as server:
            if way.encryption == "starttls":
                server.starttls(context=ssl.create_default_context())
            if way.user:
                server.login(way.user, way.password)
            refused = server.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise _answered(way, error.smtp_code, error.smtp_error) from error
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        raise _answered(way, code, said) from error
    except (OSError, smtplib.SMTPException) as error:
        raise UnavailableError(f"the mail server '{way.server}' cannot be used: {error}.", server=way.server) from error
    return f"accepted, but not for {', '.join(refused)}" if refused else "accepted"


def _connect(way: Mail) -> smtplib.SMTP:
    import smtplib
    import ssl

    if way.encryption == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(way.server, way.port, timeout=TIMEOUT_S, context=context)
    return smtplib.SMTP(way.server, way.port, timeout=TIMEOUT_S)


def _answered(way: Mail, code: int, said: bytes | str) -> RefusedError | UnavailableError:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    message = f"the mail server '{way.server}' answered {code} {text}"
    if 500 <= code < 600:
        return RefusedError(message, server=way.server, status=code)
    return UnavailableError(message, server=way.server, status=code)
