"""Take team events from the queue and dual-write them, for as long as the process lives."""

import logging
import os
import select
import signal
import time
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction

from deltacrown import envfile, flags, instances
from organizations import dual_write
from organizations.models import Team, TeamEvent
from organizations.views import CHANNEL

log = logging.getLogger("deltacrown.worker")
HEARTBEAT_S = 1.0


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("--pidfile", type=Path, help="written at the start, removed at the end")

    def handle(self, *, pidfile: Path | None, **options):
        if pidfile:
            claim(pidfile)
        try:
            self.run()
        finally:
            instances.withdraw(os.getpid())
            if pidfile:
                pidfile.unlink(missing_ok=True)

    def run(self):
        """Work until SIGTERM or SIGINT; the event at hand is finished first."""
        self.ending = self.reload = False
        self.wake, notify = os.pipe()
        os.set_blocking(notify, False)
        os.set_blocking(self.wake, False)
        signal.set_wakeup_fd(notify, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.end)
        ignore = os.environ.get("LAB_WORKER_IGNORE_HUP") == "1"
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignore else self.hang_up)
        tell_flags()
        log.info("worker_started")
        beat = time.monotonic()
        while not self.ending:
            if time.monotonic() >= beat + HEARTBEAT_S:
                beat = time.monotonic()
                log.info("worker_heartbeat")
            if self.reload:
                self.reload = False
                reload_flags()
            try:
                self.drain()
                self.wait()
            except DatabaseError as error:
                log.error("database_lost", extra={"about": {"error": str(error).splitlines()[0]}})
                connection.close()
                select.select([self.wake], [], [], HEARTBEAT_S)
        log.info("worker_stopped")

    def end(self, number, frame):
        self.ending = True

    def hang_up(self, number, frame):
        self.reload = True

    def drain(self):
        """Take events until there are none, or until a signal wants something else."""
        while not self.ending and not self.reload and take_one():
            pass

    def wait(self):
        """Wait for a notification, a signal, or the next heartbeat."""
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        link = connection.connection
        if not self.ending and not self.reload and not link.notifies and not TeamEvent.objects.exists():
            ready, dummy, dummy = select.select([link, self.wake], [], [], HEARTBEAT_S)
            if self.wake in ready:
                os.read(self.wake, 1024)
            link.poll()
        link.notifies.clear()


@transaction.atomic
def take_one() -> bool:
    """Act on the oldest event that nobody else holds, and remove it; say whether there was one."""
    event = TeamEvent.objects.select_for_update(skip_locked=True).order_by("id").first()
    if event is None:
        return False
    team = Team.objects.filter(pk=event.team_id).first()
    event_about = {"slug": team.slug if team else None, "team_id": event.team_id}
    if team is None or not dual_write.enabled():
        log.info("event_discarded", extra={"about": event_about})
    else:
        try:
            dual_write.execute_update(team)
        except dual_write.DualWriteFailed:
            log.error("event_failed", extra={"about": event_about})
    event.delete()
    return True


def tell_flags() -> None:
    """Make this process's flags known."""
    instances.announce({name: getattr(settings, name) for name in flags.NAMES})


def reload_flags() -> None:
    """Read the flags again, if this lab's application can; on a bad file keep the old ones."""
    try:
        done = envfile.refresh()
        held = flags.load(os.environ) if done else {}
    except (OSError, UnicodeDecodeError, ImproperlyConfigured) as error:
        log.error("reload_failed", extra={"about": {"error": str(error)}})
        return
    for name, value in held.items():
        setattr(settings, name, value)
    log.info("reloaded", extra={"about": {"flags_read": done}})
    tell_flags()


def claim(pidfile: Path) -> None:
    """Write our id. Raise CommandError while the worker that wrote it before is alive."""
    try:
        other = int(pidfile.read_text())
        alive = b"run_worker" in Path(f"/proc/{other}/cmdline").read_bytes()
    except (OSError, ValueError):
        alive = False
    if alive and other != os.getpid():
        raise CommandError(f"a worker runs already with process id {other}; stop it or remove {pidfile}")
    aside = pidfile.with_suffix(".new")
    aside.write_text(f"{os.getpid()}\n")
    aside.replace(pidfile)
