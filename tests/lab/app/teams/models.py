"""The legacy model: UUID keys."""

import uuid

from django.db import models


class ClockTimestamp(models.Func):
    """The database's time of this statement, not of its transaction."""

    function = "clock_timestamp"
    template = "%(function)s()"
    output_field = models.DateTimeField()


class Team(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=ClockTimestamp())
    updated_at = models.DateTimeField(db_default=ClockTimestamp())


class TeamMembership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user_id = models.IntegerField()
    role = models.CharField(max_length=20, default="owner")
    created_at = models.DateTimeField(db_default=ClockTimestamp())
