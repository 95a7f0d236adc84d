"""Run in an environment with nothing but dopr's own dependencies: every selector, and what it needs to be imported."""

from __future__ import annotations

import json
import sys
import time

PRESENT = set(sys.modules)  # what Python itself has imported by now; some have a sitecustomize
start = time.perf_counter()
from dopr.selection.selector import GroupResult, Setup, built_in, make_selector  # noqa: E402

seconds = time.perf_counter() - start

POOL = tuple(f"p{i}" for i in range(12))
HISTORY = {prompt: (0.0, i / 12, 0.5) for i, prompt in enumerate(POOL)}
OPTIONS = {"fixed": {"prompts": ["p3", "p8"]}, "speed": {"screening": 2}}


def choices(name: str, stop: int) -> list[list[str]]:
    """Choose at ten steps; the selector is put into a new one, through JSON, after `stop` of them."""
    chosen, held = [], []
    setup = Setup(POOL, seed=0, count=2, group_size=4, history=HISTORY)
    selector = make_selector(name, setup, OPTIONS.get(name, {}))
    for step in range(10):
        if step == stop:
            state = json.dumps(selector.state_dict())
            selector = make_selector(name, setup, OPTIONS.get(name, {}))
            selector.load_state_dict(json.loads(state))
        requests = selector.request(step, held)
        chosen.append([request.prompt for request in requests])
        new = [GroupResult(r.prompt, tuple(float(i < step % 4) for i in range(r.rollouts))) for r in requests]
        for group in new:
            selector.observe(step, group)
        held = list(selector.decide(step, new).hold)
    return chosen


for name in built_in():
    assert choices(name, stop=5) == choices(name, stop=10), name
new = sys.modules.keys() - PRESENT
files = {name.partition(".")[0] for name in new if getattr(sys.modules[name], "__file__", None)}
print(json.dumps({"seconds": seconds, "selectors": built_in(), "packages": sorted(files - sys.stdlib_module_names)}))
