"""The legacy tables."""

import uuid

from django.db import migrations, models

from teams.models import ClockTimestamp


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Team",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("is_active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(db_default=ClockTimestamp())),
                ("updated_at", models.DateTimeField(db_default=ClockTimestamp())),
            ],
        ),
        migrations.CreateModel(
            name="TeamMembership",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("user_id", models.IntegerField()),
                ("role", models.CharField(default="owner", max_length=20)),
                ("created_at", models.DateTimeField(db_default=ClockTimestamp())),
                (
                    "team",
                    models.ForeignKey(on_delete=models.CASCADE, related_name="memberships", to="teams.team"),
                ),
            ],
        ),
    ]
