"""Settings of the lab's application, all from the process environment (see .env files made by the lab)."""

import os
from pathlib import Path

from . import flags, logs

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-commands-without-requests")
API_TOKEN = os.environ.get("API_TOKEN", "")
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "deltacrown.urls"
WSGI_APPLICATION = "deltacrown.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = ["organizations", "teams"]
MIDDLEWARE = ["deltacrown.middleware.serve"]
LOGGING = logs.config(os.environ.get("DELTACROWN_LOG_DIR"), os.environ.get("DELTACROWN_PROCESS", "manage"))

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("DATABASE_HOST", ""),  # a host, or the folder of a unix socket
        "PORT": os.environ.get("DATABASE_PORT", "5432"),
        "NAME": os.environ.get("DATABASE_NAME", "deltacrown"),
        "USER": os.environ.get("DATABASE_USER", "deltacrown"),
        "PASSWORD": os.environ.get("DATABASE_PASSWORD", ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"application_name": f"deltacrown-{os.environ.get('DELTACROWN_PROCESS', 'manage')}"},
    }
}

_held = flags.load(os.environ)
TEAM_VNEXT_DUAL_WRITE_ENABLED = _held[flags.DUAL_WRITE]
TEAM_VNEXT_DUAL_WRITE_STRICT_MODE = _held[flags.STRICT_MODE]
TEAM_VNEXT_LEGACY_WRITE_BLOCKED = _held[flags.LEGACY_BLOCKED]

LAB_UNHEALTHY_FILE = os.environ.get("LAB_UNHEALTHY_FILE", "")
