"""Sending mails. The only module that touches aiosmtplib."""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiosmtplib

from .errors import ActionError, PermanentActionError
from .settings import secret

if TYPE_CHECKING:
    from datetime import datetime

    from mqtt_shared.outgoing import Mail

    from .settings import InstanceSettings

__all__ = ["Mailer"]

_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


class Mailer:
    """Sends through the server in SMTP_URL, one connection a mail. Certificates are verified."""

    def __init__(self, settings: InstanceSettings) -> None:
        self._url = settings.smtp_url
        self._username, self._password = settings.smtp_username, secret(settings.smtp_password)
        self._sender = settings.smtp_from

    async def send(self, mail: Mail, *, message_id: str, at: datetime) -> None:
        """Send; the mail's Message-ID is made of `message_id`, so that a mail server can know it again.

        Raises:
            PermanentActionError: no mail server is set, or it refused for good (RFC 5321, 4.2.1: 5yz).
            ActionError: the server is not there, or refused for now.
        """
        if not self._url or not self._sender:
            raise PermanentActionError("no mail server: set SMTP_URL and SMTP_FROM of the instance")
        parts = urlsplit(self._url)
        try:
            refused, _ = await aiosmtplib.send(
                _message(mail, self._sender, message_id, at),
                sender=parseaddr(self._sender)[1],
                recipients=mail.to,
                hostname=parts.hostname,
                port=parts.port or _PORTS[parts.scheme],
                use_tls=parts.scheme == "smtps",
                start_tls=parts.scheme == "smtp+starttls",
                username=self._username,
                password=self._password,
                # The caller bounds the time.
                timeout=None,
            )
        except aiosmtplib.SMTPResponseException as error:
            kind = PermanentActionError if 500 <= error.code < 600 else ActionError
            raise kind(f"the mail server answered {error.code} {error.message}") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise PermanentActionError(f"the mail server refused all recipients: {error}") from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise ActionError(f"mail not sent: {error or type(error).__name__}") from error
        if refused:
            raise PermanentActionError(f"the mail server refused {', '.join(refused)}; the others got it")


def _message(mail: Mail, sender: str, message_id: str, at: datetime) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(mail.to)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{message_id}@{parseaddr(sender)[1].rpartition('@')[2] or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    message.set_content(mail.body)
    return message
