"""`/metrics` tells what happened and who takes the processor, in the form that Prometheus reads."""

import httpx
from prometheus_client.parser import text_string_to_metric_families
from tests.server.conftest import Server


def figures(server: Server) -> dict[tuple[str, str], float]:
    """Return the samples by name and the value of their one label."""
    answer = server.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_figures_count_what_was_decided_and_the_processor_by_thread(server: Server) -> None:
    before = figures(server)
    event = {
        "specversion": "1.0",
        "id": "metrics-1",
        "source": "shop",
        "type": "message.sent",
        "data": {
            "sender": {"id": "s1", "created_at": "2026-01-01T00:00:00Z"},
            "recipient": {"id": "r1"},
            "message": {"id": "m1"},
            "text": "hello",
        },
    }
    for _ in range(2):
        assert server.post(event).status_code == 200
    after = figures(server)
    grown = {key: after[key] - before.get(key, 0.0) for key in after}
    assert sum(each for (name, _), each in grown.items() if name == "koban_decisions_total") == 1
    assert grown["koban_events_total", "duplicates"] == 1
    assert grown["koban_log_seq", ""] >= 1
    assert grown["koban_thread_cpu_seconds_total", "koban-decider"] > 0
    assert after["koban_thread_cpu_seconds_total", "MainThread"] > 0


def test_figures_are_for_who_may_read_them(server: Server) -> None:
    assert httpx.get(f"{server.client.base_url}/metrics", trust_env=False).status_code == 401
