"""Build the documentation site; what `make docs` runs."""

import sys

from tests.site.sources import build

sys.exit(build())
