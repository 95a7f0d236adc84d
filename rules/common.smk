# What several rules share.


wildcard_constraints:
    pool=r"[A-Za-z0-9_-]+",
    method=r"[A-Za-z0-9_@.-]+",
    seed=r"\d+",


POOLS = experiment.config.pools
SEEDS = experiment.config.seeds
METHODS = experiment.config.methods
BASE = experiment.config.base.model or "results/base"


def history_of(wildcards):
    """The profile's history, for the methods whose selector reads it."""
    if experiment.jobs.needs_history(wildcards.method):
        return [f"results/profile/{wildcards.pool}/history.json"]
    return []
