"""What the application counts, shared by all its processes through PROMETHEUS_MULTIPROC_DIR."""

from prometheus_client import Counter, Histogram

REQUESTS = Counter("http_requests", "Requests answered", ["method", "status"])
LATENCY = Histogram(
    "http_request_duration_seconds",
    "Time to answer a request",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
DUAL_WRITES = Counter("dual_write", "Writes to the legacy model that followed a vNext write", ["result"])
