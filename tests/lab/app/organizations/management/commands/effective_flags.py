"""Print the flags that a new process holds, as one JSON object."""

import json

from django.core.management.base import BaseCommand

from deltacrown import flags


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options):
        from django.conf import settings

        self.stdout.write(json.dumps({name: getattr(settings, name) for name in flags.NAMES}))
