"""Create, read, update and delete vNext teams."""

import secrets

from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest, JsonResponse
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_POST

from deltacrown.api import USER_ID, answer, team_name, with_token
from teams.models import ClockTimestamp
from teams.models import Team as LegacyTeam

from . import dual_write
from .models import Team, TeamEvent

CHANNEL = "team_events"


@require_POST
@with_token
def create(request: HttpRequest) -> JsonResponse:
    """Create a team; in strict mode a failed dual write is a 500, although the team stays."""
    name = team_name(request)
    slug = slugify(name)[:200] or "team"
    try:
        try:
            team = _create(name, slug)
        except IntegrityError:
            team = _create(name, f"{slug}-{secrets.token_hex(4)}")
    except dual_write.DualWriteFailed as error:
        return answer(500, error=f"dual write failed: {error}")
    return _shown(team, 201)


@transaction.atomic
def _create(name: str, slug: str) -> Team:
    team = Team.objects.create(name=name, slug=slug)
    team.memberships.create(user_id=USER_ID)
    dual_write.schedule_create(team)
    return team


@require_http_methods(["GET", "PATCH", "DELETE"])
@with_token
def one(request: HttpRequest, slug: str) -> JsonResponse:
    """Show, rename or delete one team."""
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        return answer(404, error=f"no team {slug}")
    if request.method == "PATCH":
        _rename(team, team_name(request))
    elif request.method == "DELETE":
        _delete(team)
    return _shown(team, 200)


@transaction.atomic
def _rename(team: Team, name: str) -> None:
    """Rename a team and queue the event; the worker decides whether the legacy model hears of it."""
    team.name = name
    Team.objects.filter(pk=team.pk).update(name=name, updated_at=ClockTimestamp())
    TeamEvent.objects.create(team_id=team.pk)
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")


@transaction.atomic
def _delete(team: Team) -> None:
    """Remove a team with its memberships, its mapping and the legacy rows behind that."""
    legacy = list(team.mappings.values_list("legacy_team_id", flat=True))
    Team.objects.filter(pk=team.pk).delete()
    LegacyTeam.objects.filter(id__in=legacy).delete()


def _shown(team: Team, status: int) -> JsonResponse:
    return answer(status, slug=team.slug, body={"id": team.pk, "slug": team.slug, "name": team.name})
