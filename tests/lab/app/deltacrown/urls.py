"""Addresses of the application."""

from django.urls import path

from organizations import views as vnext
from teams import views as legacy

from . import status

urlpatterns = [
    path("api/vnext/teams/create/", vnext.create),
    path("api/vnext/teams/<slug:slug>/", vnext.one),
    path("api/legacy/teams/create/", legacy.create),
    path("api/legacy/teams/<uuid:team_id>/", legacy.one),
    path("health/", status.health),
    path("metrics", status.metrics),
]
