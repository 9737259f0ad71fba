"""Carry vNext writes over to the legacy model. The only place that reads the dual-write flags."""

import logging

from django.conf import settings
from django.db import DatabaseError, transaction

from deltacrown.api import USER_ID
from deltacrown.measures import DUAL_WRITES
from teams.models import ClockTimestamp
from teams.models import Team as LegacyTeam

from .models import Team, TeamMigrationMap

log = logging.getLogger("deltacrown.dual_write")


class DualWriteFailed(Exception):
    """The legacy side refused a write, and strict mode wants that known."""


def enabled() -> bool:
    """Say whether this process dual-writes now."""
    return settings.TEAM_VNEXT_DUAL_WRITE_ENABLED


def schedule_create(team: Team) -> None:
    """Write the new team to the legacy model once the present transaction has committed, if dual-write is on."""
    if enabled():
        _tell("dual_write_scheduled", team, "create")
        transaction.on_commit(lambda: _carry(team, "create", _create))


def execute_update(team: Team) -> None:
    """Write a team's new name to the legacy model now."""
    _tell("dual_write_scheduled", team, "update")
    _carry(team, "update", _update)


def _carry(team: Team, kind: str, write) -> None:
    """Do one legacy write in a transaction of its own. Raise DualWriteFailed in strict mode when it fails."""
    try:
        with transaction.atomic():
            write(team)
    except DatabaseError as error:
        DUAL_WRITES.labels("failed").inc()
        _tell("dual_write_failed", team, kind, level=logging.ERROR, error=str(error).splitlines()[0])
        if settings.TEAM_VNEXT_DUAL_WRITE_STRICT_MODE:
            raise DualWriteFailed("the legacy model refused the write") from error
    else:
        DUAL_WRITES.labels("succeeded").inc()
        _tell("dual_write_succeeded", team, kind)


def _create(team: Team) -> None:
    legacy = LegacyTeam.objects.create(name=team.name)
    legacy.memberships.create(user_id=USER_ID)
    TeamMigrationMap.objects.create(vnext_team=team, legacy_team=legacy)


def _update(team: Team) -> None:
    mapped = TeamMigrationMap.objects.filter(vnext_team=team).values("legacy_team_id")
    LegacyTeam.objects.filter(id__in=mapped).update(name=team.name, updated_at=ClockTimestamp())


def _tell(event: str, team: Team, kind: str, level: int = logging.INFO, **more: str) -> None:
    log.log(level, event, extra={"about": {"slug": team.slug, "team_id": team.pk, "kind": kind, **more}})
