"""The vNext model: integer keys; the mapping to the legacy model; the queue of team events."""

from django.db import models

from teams.models import ClockTimestamp
from teams.models import Team as LegacyTeam


class Team(models.Model):
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=220, unique=True)
    created_at = models.DateTimeField(db_default=ClockTimestamp())
    updated_at = models.DateTimeField(db_default=ClockTimestamp())


class TeamMembership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user_id = models.IntegerField()
    role = models.CharField(max_length=20, default="owner")
    created_at = models.DateTimeField(db_default=ClockTimestamp())


class TeamMigrationMap(models.Model):
    vnext_team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="mappings")
    legacy_team = models.ForeignKey(LegacyTeam, on_delete=models.CASCADE, related_name="mappings")
    created_at = models.DateTimeField(db_default=ClockTimestamp())


class TeamEvent(models.Model):
    """A team was updated; the worker takes the row, acts on it and removes it. No foreign key: a queue, not data."""

    team_id = models.IntegerField()
    created_at = models.DateTimeField(db_default=ClockTimestamp())
