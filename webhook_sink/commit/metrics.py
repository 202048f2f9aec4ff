"""The sink's metrics for Prometheus: https://prometheus.io/docs/practices/naming/."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
OTHER = "other"
MOST_TYPES = 400
"""Event types with a series of their own: Stripe's 275 and room for new ones, but a bounded number of series."""


class Metrics:
    """The metrics of one sink, in a registry of their own."""

    def __init__(self, provider: str) -> None:
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry, "namespace": f"{provider}_sink"}
        self._events = Counter("events", "Events by type and outcome.", ("type", "status"), **made)
        self._event_series: dict[tuple[str, str], Counter] = {}
        self.refused = Counter("refused", "Requests that were not taken, by reason.", ("reason",), **made)
        self.latency = Histogram(
            "event_seconds", "From the request to its answer, for events.", buckets=LATENCY, **made
        )
        self.waiting = Gauge("queue_events", "Events that wait for their commit.", **made)
        self.batch = Histogram("batch_events", "Events that one transaction committed.", buckets=SIZES, **made)
        self.transaction = Histogram(
            "transaction_seconds", "Time in the database, by transaction.", buckets=LATENCY, **made
        )
        self.retries = Counter(
            "transaction_retries", "Transactions that were begun again, by reason.", ("reason",), **made
        )
        self.ties = Counter("ties", "Different states of one object and second.", **made)
        self.distrusted = Counter(
            "distrusted", "Payloads that were not trusted, by reason and what followed.", ("reason", "then"), **made
        )
        self.rereads = Counter("rereads", "Objects read again, by reason and outcome.", ("reason", "outcome"), **made)
        self.schema_changes = Counter("schema_changes", "Tables and columns that events added.", **made)
        self.open = Gauge(
            "ledger_open_events", "Events in the ledger that are not done, by status.", ("status",), **made
        )

    def count_event(self, event_type: str, status: str) -> None:
        """Counts an event of this type, with its outcome or its status in the ledger."""
        series = self._event_series.get((event_type, status))
        if series is None:
            name = event_type if len(self._event_series) < MOST_TYPES else OTHER
            series = self._event_series[event_type, status] = self._events.labels(name, status)
            if name == OTHER:
                del self._event_series[event_type, status]
        series.inc()

    @property
    def tie_count(self) -> int:
        """Ties since the sink began."""
        return int(self.ties._value.get())

    def count_refusal(self, reason: str) -> None:
        """Counts a request that was refused."""
        self.refused.labels(reason).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
