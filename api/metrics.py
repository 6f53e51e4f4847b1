"""What this process measures of itself: requests by route and status, with their latency."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)

REVIEW_GAUGES = {
    "s_waiting": ("waiting", "Reviews that somebody can answer now."),
    "s_overdue": ("overdue", "Escalations that are open after their deadline."),
    "_oldest_seconds": ("oldest_seconds", "Age of the oldest review that waits."),
    "_answer_seconds_p50": ("answer_seconds_p50", "Median time to an answer, of the reviews closed in 30 days."),
    "s_answered_30d": ("answered", "Reviews that people answered in 30 days."),
    "s_timed_out_30d": ("timed_out", "Reviews that their deadline closed in 30 days."),
    "_override_rate": ("override_rate", "Share of the recommendations in escalations that people answered otherwise, of 30 days."),
    "_reversal_rate": ("reversal_rate", "Share of the audits in which people reversed the decision, of 30 days."),
}


class Measurements:
    """Counters of one process; several are added up by whoever scrapes them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "precedent_request_seconds", "Time from the request's first byte to the answer's last.", ["method", "route", "status"],
            buckets=BUCKETS_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._problems = Counter(
            "precedent_problems", "Requests that were answered with a problem.", ["route", "code"], registry=self.registry
        )
        self._problem_counts: dict[tuple[str, str], int] = defaultdict(int)
        self._gauges: dict[str, Gauge] = {}
        self._children: dict[tuple[str, str, int], Any] = {}
        # The same counts once more for the JSON answer: reading them back from the client library is no public API.
        self._counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0] * (len(BUCKETS_SECONDS) + 1))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._seconds.labels(method, route, str(status))
        child.observe(seconds)
        self._counts[key][bisect_left(BUCKETS_SECONDS, seconds)] += 1

    def count_problem(self, route: str, code: str) -> None:
        """Routes are templates and codes those of the catalogue: neither grows with what callers send."""
        self._problems.labels(route, code).inc()
        self._problem_counts[route, code] += 1

    def problems(self) -> list[dict[str, Any]]:
        return [{"route": route, "code": code, "count": count} for (route, code), count in sorted(self._problem_counts.items())]

    def forget_gauges(self) -> None:
        """Drop all values: what is not set again is told no more, instead of standing still."""
        for gauge in self._gauges.values():
            self.registry.unregister(gauge)
        self._gauges.clear()

    def set_gauge(self, name: str, help_text: str, labels: dict[str, str], value: float) -> None:
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name, help_text, list(labels), registry=self.registry)
        (gauge.labels(**labels) if labels else gauge).set(value)

    def set_reviews(self, rates: Sequence[Mapping[str, Any]]) -> None:
        """By the rows of `review_rates`; a share of nothing is not told."""
        for row in rates:
            labels = {"node": row["node"], "kind": row["kind"]}
            for name, (column, help_text) in REVIEW_GAUGES.items():
                if row[column] is not None:
                    self.set_gauge(f"precedent_review{name}", help_text, labels, row[column])

    def prometheus_text(self) -> bytes:
        return generate_latest(self.registry)

    def summary(self) -> list[dict[str, Any]]:
        """By route: how many, by status, and p50, p95, p99 in ms, each the upper bound of the bucket it falls in."""
        by_route: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(dict)
        for (method, route, status), counts in self._counts.items():
            by_route[method, route][status] = counts
        rows = []
        for (method, route), statuses in sorted(by_route.items()):
            total = [sum(column) for column in zip(*statuses.values(), strict=True)]
            rows.append(
                {
                    "method": method,
                    "route": route,
                    "count": sum(total),
                    "by_status": {str(status): sum(counts) for status, counts in sorted(statuses.items())},
                    "p50_ms": _quantile_ms(total, 0.50),
                    "p95_ms": _quantile_ms(total, 0.95),
                    "p99_ms": _quantile_ms(total, 0.99),
                }
            )
        return rows


def _quantile_ms(counts: list[int], share: float) -> float | None:
    """None beyond the last bucket, where no upper bound is known."""
    seen = 0
    for count, bound in zip(counts, BUCKETS_SECONDS, strict=False):
        seen += count
        if seen >= share * sum(counts):
            return bound * 1000
    return None
