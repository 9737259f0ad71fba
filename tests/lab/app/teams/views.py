"""Writes to the legacy model that don't come from vNext."""

import uuid

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_http_methods, require_POST

from deltacrown.api import USER_ID, answer, team_name, with_token

from .models import Team


@require_POST
@with_token
def create(request: HttpRequest) -> JsonResponse:
    """Create a legacy team, unless legacy writes are blocked."""
    if settings.TEAM_VNEXT_LEGACY_WRITE_BLOCKED:
        return refused()
    with transaction.atomic():
        team = Team.objects.create(name=team_name(request))
        team.memberships.create(user_id=USER_ID)
    return answer(201, id=str(team.id), name=team.name)


@require_http_methods(["DELETE"])
@with_token
def one(request: HttpRequest, team_id: uuid.UUID) -> JsonResponse:
    """Remove one legacy team, unless legacy writes are blocked."""
    if settings.TEAM_VNEXT_LEGACY_WRITE_BLOCKED:
        return refused()
    removed, dummy = Team.objects.filter(pk=team_id).delete()
    return answer(200 if removed else 404, id=str(team_id))


def refused() -> JsonResponse:
    """Say that legacy writes are blocked, and by which flag."""
    return answer(409, error="legacy writes are blocked", flag="TEAM_VNEXT_LEGACY_WRITE_BLOCKED")
