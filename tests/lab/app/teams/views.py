"""Writes to the legacy model that don't come from vNext."""

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from deltacrown.api import USER_ID, answer, team_name, with_token

from .models import Team


@require_POST
@with_token
def create(request: HttpRequest) -> JsonResponse:
    """Create a legacy team, unless legacy writes are blocked."""
    if settings.TEAM_VNEXT_LEGACY_WRITE_BLOCKED:
        return answer(409, error="legacy writes are blocked", flag="TEAM_VNEXT_LEGACY_WRITE_BLOCKED")
    with transaction.atomic():
        team = Team.objects.create(name=team_name(request))
        team.memberships.create(user_id=USER_ID)
    return answer(201, id=str(team.id), name=team.name)
