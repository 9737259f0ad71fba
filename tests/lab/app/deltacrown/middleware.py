"""Count, time and log every request."""

import logging
import time

from .measures import LATENCY, REQUESTS

log = logging.getLogger("deltacrown.request")


def serve(get_response):
    """Wrap the views; the last thing done for a request is its `request_served` line."""

    def middleware(request):
        began = time.perf_counter()
        response = get_response(request)
        seconds = time.perf_counter() - began
        LATENCY.observe(seconds)
        REQUESTS.labels(request.method, str(response.status_code)).inc()
        about = {
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "duration_ms": round(seconds * 1000, 1),
            "slug": getattr(response, "slug", None),
        }
        log.info("request_served", extra={"about": about})
        return response

    return middleware
