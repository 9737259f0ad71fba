"""How the application is: for people and load balancers (/health/) and for Prometheus (/metrics)."""

import os
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess

from . import flags
from .api import answer


def held_flags() -> dict[str, bool]:
    """Return the flags that this process holds now."""
    return {name: getattr(settings, name) for name in flags.NAMES}


def health(request: HttpRequest) -> JsonResponse:
    """Say how this process is. 503 without its database; 200 with an unhealthy body when the lab asks for that."""
    database = "ok"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        database = "unreachable"
    knob = settings.LAB_UNHEALTHY_FILE
    healthy = database == "ok" and not (knob and Path(knob).exists())
    return answer(
        200 if database == "ok" else 503,
        status="healthy" if healthy else "unhealthy",
        database=database,
        pid=os.getpid(),
        flags=held_flags(),
    )


def metrics(request: HttpRequest) -> HttpResponse:
    """Give the measures of all processes."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
