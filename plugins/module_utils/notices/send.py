# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send one notice to all its channels at once, each within its own time; what fails is told, never raised.

HTTP is joined in by the step (``Post``). Why no module of another collection is called for Slack and e-mail stands in
docs/notices.md; the kind ``module`` is there for them.
"""

from __future__ import annotations

import os
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from typing import Any

from ..core.errors import RollbackError
from ..core.files import write_atomically
from ..core.redact import redact_text
from . import words
from .channels import FILE, GRAFANA, MAIL, SLACK, WEBHOOK, Channel, mail_port
from .words import Notice

#: (url, headers, body, options of the channel, seconds) -> status and the first bytes of the answer
Post = Callable[[str, Mapping[str, str], bytes, Mapping[str, Any], float], "tuple[int, str]"]
Sent = dict[str, Any]
#: seconds that a thread gets beyond its channel's timeout: name resolution knows no timeout of its own
_GRACE = 0.5


class NotSent(RollbackError):
    """A channel did not take the notice."""


def send(channels: Sequence[Channel], notice: Notice, post: Post) -> list[Sent]:
    """Send to every channel in parallel and return, in their order, {channel, kind, where, sent, why, took}.

    ``why`` is empty for what was sent. It takes as long as the slowest channel's timeout at most.
    """
    answers: list[Sent] = [_answer(one, f"no answer within {one.timeout:g} s", one.timeout) for one in channels]
    threads = []
    for number, one in enumerate(channels):
        thread = threading.Thread(target=_into, args=(answers, number, one, notice, post), daemon=True)
        thread.start()
        threads.append(thread)
    started = time.monotonic()
    for thread, one in zip(threads, channels):
        thread.join(max(0.0, started + one.timeout + _GRACE - time.monotonic()))
    # what still hangs may end later; what is returned no longer changes
    return [dict(one) for one in answers]


def _into(answers: list[Sent], number: int, one: Channel, notice: Notice, post: Post) -> None:
    started = time.monotonic()
    try:
        _SENDERS[one.kind](one, notice, post)
        why = ""
    except RollbackError as error:
        why = error.what
    except Exception as error:
        # whatever it is, it must not end the rollback, and its text may hold a secret
        why = f"it could not be sent ({type(error).__name__})"
    answers[number] = _answer(one, why, time.monotonic() - started)


def _answer(one: Channel, why: str, took: float) -> Sent:
    said = " ".join(redact_text(why, one.secrets).split())[:300]
    return {
        "channel": one.name,
        "kind": one.kind,
        "where": one.where,
        "sent": not why,
        "why": said,
        "took": round(took, 3),
    }


def _file(one: Channel, notice: Notice, post: Post) -> None:
    folder = os.path.expanduser(str(one.options["path"]))
    try:
        os.makedirs(folder, mode=0o750, exist_ok=True)
    except OSError as error:
        raise NotSent(f"the folder can't be made: {error.strerror}") from error
    name = f"{notice['run_id']}-{notice['event']}.md"
    write_atomically(os.path.join(folder, name), str(notice["markdown"]).encode(), mode=0o640)


def _slack(one: Channel, notice: Notice, post: Post) -> None:
    _post(one, {}, words.slack(notice), notice, post)


def _webhook(one: Channel, notice: Notice, post: Post) -> None:
    headers = {}
    if one.options.get("token"):
        prefix = one.options.get("prefix", "Bearer ")
        headers[str(one.options.get("header") or "Authorization")] = f"{prefix}{one.options['token']}"
    _post(one, headers, words.webhook(notice), notice, post)


def _grafana(one: Channel, notice: Notice, post: Post) -> None:
    url = f"{str(one.options['url']).rstrip('/')}/api/annotations"
    headers = {"Authorization": f"Bearer {one.options['token']}"}
    _post(one, headers, words.grafana(notice, one.options), notice, post, url)


def _post(one: Channel, headers: Mapping[str, str], body: str, notice: Notice, post: Post, url: str = "") -> None:
    # whoever receives the same notice twice can tell by the key
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": f"{notice['run_id']}.{notice['event']}",
        **headers,
    }
    status, said = post(url or str(one.options["url"]), headers, body.encode(), one.options, one.timeout)
    if not 200 <= status < 300:
        raise NotSent(f"it answers {status}" + (f": {said}" if said.strip() else ""))


def _mail(one: Channel, notice: Notice, post: Post) -> None:
    options, tls = one.options, str(one.options.get("tls", "starttls"))
    message = mail_message(notice, str(options["from"]), options["to"])
    context = None
    try:
        if tls != "none":
            context = ssl.create_default_context(cafile=options.get("ca_cert"))
            if not options.get("validate_certs", True):
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
        host, port = str(options["host"]), mail_port(options)
        client = (
            smtplib.SMTP_SSL(host, port, timeout=one.timeout, context=context)
            if tls == "tls"
            else smtplib.SMTP(host, port, timeout=one.timeout)
        )
        with client:
            if tls == "starttls":
                client.starttls(context=context)
            if options.get("username"):
                client.login(str(options["username"]), str(options.get("password") or ""))
            refused = client.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        raise NotSent(f"the server refuses {_refused(error.recipients)}") from error
    except smtplib.SMTPAuthenticationError as error:
        raise NotSent("the server refuses the user or the password") from error
    except smtplib.SMTPNotSupportedError as error:
        raise NotSent("the server offers no STARTTLS or no login, and nothing is sent without") from error
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"the server answers {error.smtp_code}: {_text(error.smtp_error)}") from error
    except ssl.SSLCertVerificationError as error:
        raise NotSent(f"the server's certificate is not accepted: {error.verify_message}") from error
    except (socket.timeout, TimeoutError) as error:
        raise NotSent(f"no answer within {one.timeout:g} s") from error
    except ConnectionRefusedError as error:
        raise NotSent("the connection was refused: nothing listens there") from error
    except (OSError, smtplib.SMTPException) as error:
        raise NotSent(f"no connection: {getattr(error, 'strerror', None) or type(error).__name__}") from error
    if refused:
        raise NotSent(f"sent to the others, but the server refuses {_refused(refused)}")


def mail_message(notice: Notice, sender: str, to: Any) -> EmailMessage:
    """Return the notice as an e-mail whose id is that of its run and event, so that a second copy is known as one."""
    message = EmailMessage()
    message["Subject"] = words.subject(notice)
    message["From"] = sender
    message["To"] = to if isinstance(to, str) else ", ".join(map(str, to))
    message["Message-ID"] = f"<{notice['run_id']}.{notice['event']}@dualwrite.rollback>"
    message["Auto-Submitted"] = "auto-generated"
    if notice["urgency"] in ("high", "immediate"):
        message["X-Priority"] = "1"
    message.set_content(str(notice["markdown"]))
    return message


def _refused(recipients: Mapping[str, Any]) -> str:
    return ", ".join(f"{who} ({code} {_text(text)})" for who, (code, text) in recipients.items())


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_SENDERS: Mapping[str, Callable[[Channel, Notice, Post], None]] = {
    FILE: _file,
    SLACK: _slack,
    WEBHOOK: _webhook,
    GRAFANA: _grafana,
    MAIL: _mail,
}
