"""No method builds an N x M matrix: 100,000 x 100,000 points fit in two gigabytes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ssl_perception.flow import METHODS

LIMIT = 2048  # MB, the whole process
PROGRAM = """
import resource, sys
import numpy as np
from ssl_perception.flow import estimate_flow, find
from ssl_perception.types import PointCloud

method, count = sys.argv[1], 100_000

def street(seed, shift):
    rng = np.random.default_rng(seed)
    walls = rng.uniform((-50, -0.05, 0), (50, 0.05, 5), (count * 3 // 4, 3))
    walls[:, 1] += np.where(rng.random(len(walls)) < 0.5, 10, -10)
    cars = rng.uniform((-2, -1, 0.2), (2, 1, 1.8), (count - len(walls), 3))
    cars[:, 0] += rng.integers(-4, 5, len(cars)) * 10.0 + shift
    return PointCloud(np.vstack([walls, cars]).astype(np.float32), stamp=0.1 * seed)

_, options = find(method)
if method in ("nsfp", "fast_nsf"):  # a step more needs no more memory
    options = options.model_copy(update={"iterations": 2})
if method == "scoop":
    few = options.refinement.model_copy(update={"steps": 2})
    options = options.model_copy(update={"refinement": few})
answer = estimate_flow(street(0, 0.0), street(1, 1.0), method, options=options)
assert len(answer.flow) == count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_hundred_thousand_points_fit(method: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, method], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    # seen: nsfp 1043, fast_nsf 790, rigid_cluster 201
    assert int(run.stdout) <= LIMIT
