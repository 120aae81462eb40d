"""What a node says of itself on /diagnostics."""

from __future__ import annotations

import time

import pytest

from ssl_perception_ros.diagnostics import Health

pytestmark = pytest.mark.ros


def test_rates_latencies_and_missed_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    health = Health("sweeps", 1e9)

    def told() -> dict[str, str]:
        return {pair.key: pair.value for pair in health.status("node", True).values}

    assert (told()["input_hz"], told()["output_hz"]) == ("0.00", "0.00")
    for k in range(100):  # at 10 Hz; every second one is answered, every tenth answer is late
        health.input()
        if k % 2:
            health.publish(0.25 if k % 20 == 19 else 0.05, {"age_s": "0.060"})
        now += 0.1
    values = told()
    assert float(values["input_hz"]) == pytest.approx(10.0, abs=0.21)
    assert float(values["output_hz"]) == pytest.approx(5.0, abs=0.21)
    assert (values["latency_ms_p50"], values["latency_ms_p95"]) == ("50.0", "250.0")
    assert values["deadline_misses"] == "5", "more than the 100 ms from sweep to sweep"
    assert values["age_s"] == "0.060" and float(values["memory_mib"]) > 1
    now += 10.0
    assert told()["input_hz"] == "0.00", "silence"
