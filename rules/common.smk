# What several rules share.


wildcard_constraints:
    pool=r"[A-Za-z0-9_-]+",
    method=r"[A-Za-z0-9_@.-]+",
    seed=r"\d+",
    base=r"[^/]+",


POOLS = experiment.config.pools
SEEDS = experiment.config.seeds
METHODS = experiment.config.methods


HARDWARE = experiment.config.hardware


def more(least):
    """Memory or minutes that grow each time a job is tried again."""
    return lambda wildcards, attempt: least * attempt


def counts(code):
    """An input that names the code a job runs: other code is a reason to run it again, unless finished work is kept."""
    return code if experiment.config.code_policy == "restart" else ancient(code)


def training_code_of(wildcards):
    """The file with the hashes of a method's code."""
    return experiment.code_path("train", experiment.rule_params.recipe(wildcards.method).selector)


def base_of(wildcards):
    """The starting policy of a pool."""
    return experiment.config.base_of(wildcards.pool)


def base_completions_of(split):
    """Its graded completions."""
    return lambda wildcards: f"results/base_completions/{Path(base_of(wildcards)).name}/{split}.parquet"


def history_of(wildcards):
    """The profile's history, for the methods whose selector reads it."""
    if experiment.rule_params.needs_history(wildcards.method):
        return [f"results/profile/{wildcards.pool}/history.json"]
    return []


def base_files_of(wildcards):
    """The files of a local model, which may change inside its folder."""
    return experiment.base_files


def get_figures_and_tables():
    """An ablation's figure alone, or every figure and table of the comparison."""
    if experiment.config.ablation:
        return [rules.ablation.output, rules.ablation_published.output if experiment.model else []]
    return [
        RUN_FIGURES,
        PROFILE_FIGURES,
        rules.tables.output,
        rules.bounds.output if experiment.config.complexity.pools else [],
        [rules.published.input, rules.claims.output] if experiment.config.published else [],
    ]


def get_final_output():
    """All that is shown, and the rule that logs it to MLflow."""
    return [get_figures_and_tables(), rules.track.output]
