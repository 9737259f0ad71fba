"""The vNext tables, the mapping and the queue of team events."""

from django.db import migrations, models

from teams.models import ClockTimestamp


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("teams", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Team",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("slug", models.SlugField(max_length=220, unique=True)),
                ("created_at", models.DateTimeField(db_default=ClockTimestamp())),
                ("updated_at", models.DateTimeField(db_default=ClockTimestamp())),
            ],
        ),
        migrations.CreateModel(
            name="TeamEvent",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("team_id", models.IntegerField()),
                ("created_at", models.DateTimeField(db_default=ClockTimestamp())),
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
                    models.ForeignKey(on_delete=models.CASCADE, related_name="memberships", to="organizations.team"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TeamMigrationMap",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(db_default=ClockTimestamp())),
                (
                    "legacy_team",
                    models.ForeignKey(on_delete=models.CASCADE, related_name="mappings", to="teams.team"),
                ),
                (
                    "vnext_team",
                    models.ForeignKey(on_delete=models.CASCADE, related_name="mappings", to="organizations.team"),
                ),
            ],
        ),
    ]
