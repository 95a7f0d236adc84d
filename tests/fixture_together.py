"""One job done by one process or by several under torchrun: `python fixture_together.py JOB`, or `together(...)`.

A job is a pickled dict: what to do, and where to put what came of it.
"""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from dopr.config.schema import SamplingParams
from dopr.grading.grader import Grader
from dopr.models import checkpoint_io, network
from dopr.models.lora import PolicyWeights
from dopr.rollout.data_parallel import DataParallel
from dopr.rollout.open import open_engine
from dopr.runtime import distributed
from dopr.training.train import Run, train


def together(folder: Path, processes: int, **job: Any) -> Any:
    """What came of a job; the output of processes that failed is raised."""
    folder.mkdir(exist_ok=True)
    path = folder / "job.pkl"
    path.write_bytes(pickle.dumps({**job, "found": folder / "found.pkl"}))
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*(start if processes > 1 else [sys.executable]), __file__, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr  # nor at the very end
    return pickle.loads((folder / "found.pkl").read_bytes())


def main() -> None:
    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    with distributed.process_group("cpu"):
        found = {"learn": learned, "train": trained, "agree": agreed, "generate": generated}[job["do"]](job)
        if distributed.is_main_process():
            job["found"].write_bytes(pickle.dumps(found))


def learned(job: dict[str, Any]) -> list[Any]:
    """For each of some settings, a learner's statistics and its weights after some steps, and its state.

    states: that the learners go on from.
    """
    from fixture_learner import make_learner

    network.MAX_LOGITS = job.get("logits", network.MAX_LOGITS)
    found = []
    for settings, state in zip(job["settings"], job.get("states", [None] * len(job["settings"])), strict=True):
        policy = checkpoint_io.load(job["base"], settings.get("dtype", "float32"))
        learner = make_learner(policy, **settings)
        if state:
            learner.load_state_dict(state)
        statistics = [learner.learn(job["groups"], step) for step in job["steps"]]
        found.append((statistics, dict(PolicyWeights(policy.network).merged()), learner.state_dict()))
    return found


def trained(job: dict[str, Any]) -> tuple[list[dict[str, float]], Any]:
    """A run from its last checkpoint to some step: metrics, and what is saved of the policy."""
    saved: list[Any] = []
    with Grader(job["verify"]) as grader:
        run = opened_run(job, grader)
        run.save_policy = lambda policy, folder: saved.append(checkpoint_io.checkpoint_tensors(policy))
        train(run)
        return run.metrics, saved[-1]


def agreed(job: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """A run: for each process its metrics and what its own engine draws in the end, and the weights by then.

    That the engine is dropped before all is gathered must not part the processes.
    """
    with Grader(job["verify"]) as grader:
        run = opened_run(job, grader)
        run.save_policy = lambda policy, folder: None
        train(run)
    weights = PolicyWeights(run.policy.network)
    run.engine.load_weights(weights)
    own = run.engine.engine if isinstance(run.engine, DataParallel) else run.engine
    mine, ended = (run.metrics, own.generate(job["prompts"], job["n"], 1.0, 8, 3)), dict(weights.merged())
    del run, own, weights
    gc.collect()
    return distributed.all_gather(mine), ended


def opened_run(job: dict[str, Any], grader: Grader) -> Run:
    """A run with the engine of all processes."""
    from test_train import make_run

    run = make_run(job["base"], job["state"], job["pool"], job["recipe"], grader)
    run.engine = engine_on(job, run.policy.network)
    return run


def engine_on(job: dict[str, Any], policy: PreTrainedModel) -> Any:
    """The engine that several processes open, or one alone."""
    settings = {key: job[key] for key in ("engine", "tensor_parallel") if key in job}
    sampling = SamplingParams(temperature=1.0, max_new_tokens=8, kv_cache_gb=0.25, **settings)
    engine = open_engine(sampling, job["base"], policy)
    assert isinstance(engine, DataParallel) == (distributed.world_size() > 1)
    return engine


def generated(job: dict[str, Any]) -> list[Any]:
    """What each process has of some prompts' samples."""
    engine = engine_on(job, checkpoint_io.load(job["base"]).network)
    return distributed.all_gather(engine.generate(job["prompts"], job["n"], 1.0, 8, 3))


if __name__ == "__main__":
    main()
