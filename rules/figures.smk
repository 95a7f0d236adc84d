# Figures and tables read results from disk and never train. Each figure is PDF, PNG and the CSV behind it.

COMPARED = "--pools {POOLS} --methods {METHODS} --seeds {SEEDS}"
BOOTSTRAP = " --bootstrap {experiment.config.evaluate.bootstrap} "


rule curves:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
    output:
        pdf="results/figures/accuracy_vs_{axis}.pdf",
        csv="results/figures/accuracy_vs_{axis}.csv",
        png=report(
            "results/figures/accuracy_vs_{axis}.png",
            caption="../workflow/report/accuracy_vs_{axis}.rst",
            category="1. Accuracy against cost",
            labels={"figure": "accuracy against {axis}"},
        ),
    wildcard_constraints:
        axis="rollouts|tokens",
    params:
        code=experiment.jobs.code("plot_curves"),
        options=[POOLS, METHODS, SEEDS, experiment.config.evaluate.bootstrap],
        path=subpath(output.pdf, strip_suffix=".pdf"),
    log:
        "results/logs/figures/accuracy_vs_{axis}.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python scripts/plot_curves.py --axis {wildcards.axis} "
        + COMPARED
        + BOOTSTRAP
        + "--output {params.path} "
        + LOGGED


use rule curves as curves_seconds with:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
        expand("results/train/{run}/seconds.csv", run=experiment.compared_runs()),
    output:
        pdf="results/figures/accuracy_vs_{axis}.pdf",
        csv="results/figures/accuracy_vs_{axis}.seconds.csv",
        png=report(
            "results/figures/accuracy_vs_{axis}.png",
            caption="../workflow/report/accuracy_vs_{axis}.rst",
            category="1. Accuracy against cost",
            labels={"figure": "accuracy against {axis}"},
        ),
    wildcard_constraints:
        axis="cpu_seconds",


rule training_figure:
    input:
        expand("results/train/{run}/metrics.csv", run=experiment.compared_runs()),
    output:
        pdf="results/figures/training.pdf",
        csv="results/figures/training.csv",
        png=report(
            "results/figures/training.png",
            caption="../workflow/report/training.rst",
            category="2. Training and selection",
            labels={"figure": "reward, entropy, length"},
        ),
    params:
        code=experiment.jobs.code("plot_training"),
        options=[POOLS, METHODS, SEEDS],
        path=subpath(output.pdf, strip_suffix=".pdf"),
    log:
        "results/logs/figures/training.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python scripts/plot_training.py " + COMPARED + " --output {params.path} " + LOGGED


rule selection_figure:
    input:
        expand(
            "results/train/{{pool}}/{method}/{seed}/{file}",
            method=METHODS,
            seed=SEEDS,
            file=["ledger.parquet", "metrics.csv"],
        ),
        "results/data/{pool}.jsonl",
        "results/profile/{pool}/history.json",
    output:
        pdf="results/figures/selection_{pool}.pdf",
        csv="results/figures/selection_{pool}.csv",
        png=report(
            "results/figures/selection_{pool}.png",
            caption="../workflow/report/selection.rst",
            category="2. Training and selection",
            labels={"figure": "what was chosen, {pool} pool"},
        ),
    params:
        code=experiment.jobs.code("plot_selection"),
        options=[METHODS, SEEDS],
        path=subpath(output.pdf, strip_suffix=".pdf"),
    log:
        "results/logs/figures/selection_{pool}.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python scripts/plot_selection.py --pools {wildcards.pool} --methods {METHODS} --seeds {SEEDS}"
        " --output {params.path} " + LOGGED


rule informative_figure:
    input:
        expand("results/train/{run}/ledger.parquet", run=experiment.compared_runs()),
        expand("results/profile/{pool}/history.json", pool=POOLS),
    output:
        pdf="results/figures/informative.pdf",
        csv="results/figures/informative.csv",
        png=report(
            "results/figures/informative.png",
            caption="../workflow/report/informative.rst",
            category="2. Training and selection",
            labels={"figure": "rollouts per informative group"},
        ),
    params:
        code=experiment.jobs.code("plot_informative"),
        options=[POOLS, METHODS, SEEDS, experiment.config.evaluate.bootstrap],
        path=subpath(output.pdf, strip_suffix=".pdf"),
    log:
        "results/logs/figures/informative.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python scripts/plot_informative.py " + COMPARED + BOOTSTRAP + "--output {params.path} " + LOGGED


rule profile_figure:
    input:
        "results/data/{pool}.jsonl",
        "results/profile/{pool}/history.json",
        "results/profile/{pool}/ranking.csv",
    output:
        pdf="results/figures/profile_{pool}.pdf",
        csv="results/figures/profile_{pool}.csv",
        png=report(
            "results/figures/profile_{pool}.png",
            caption="../workflow/report/profile.rst",
            category="3. Historical variance",
            labels={"figure": "variance and ranking, {pool} pool"},
        ),
    params:
        code=experiment.jobs.code("plot_profile"),
        path=subpath(output.pdf, strip_suffix=".pdf"),
    log:
        "results/logs/figures/profile_{pool}.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python scripts/plot_profile.py --pool {wildcards.pool} --output {params.path} " + LOGGED


rule complexity_figure:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.complexity_runs()),
        expand("results/profile/{pool}/history.json", pool=experiment.complexity_pools),
    output:
        pdf="results/figures/complexity.pdf",
        csv="results/figures/complexity.csv",
        png=report(
            "results/figures/complexity.png",
            caption="../workflow/report/complexity.rst",
            category="4. Sample complexity",
            labels={"figure": "accuracy against prompts, and bounds"},
        ),
    params:
        code=experiment.jobs.code("plot_complexity"),
        options=[
            experiment.complexity_pools,
            experiment.complexity_prompts(),
            SEEDS,
            experiment.config.complexity.confidence,
            experiment.config.evaluate.bootstrap,
        ],
        path=subpath(output.pdf, strip_suffix=".pdf"),
    log:
        "results/logs/figures/complexity.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python scripts/plot_complexity.py --pools {params.options[0]} --prompts {params.options[1]}"
        " --seeds {SEEDS} --confidence {experiment.config.complexity.confidence}"
        + BOOTSTRAP
        + "--output {params.path} "
        + LOGGED


rule tables:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
        expand("results/profile/{pool}/ledger.parquet", pool=POOLS),
    output:
        "results/tables/scores.csv",
        expand(
            "results/tables/{table}.{suffix}",
            table=["main", "targets", "credit", "benchmarks"],
            suffix=["csv", "md", "tex"],
        ),
        main=report(
            "results/tables/main.html",
            caption="../workflow/report/main.rst",
            category="0. Main result",
            labels={"figure": "main table"},
        ),
        targets=report(
            "results/tables/targets.html",
            caption="../workflow/report/targets.rst",
            category="0. Main result",
            labels={"figure": "rollouts to a target"},
        ),
        credit=report(
            "results/tables/credit.html",
            caption="../workflow/report/credit.rst",
            category="0. Main result",
            labels={"figure": "what made each saving"},
        ),
        benchmarks=report(
            "results/tables/benchmarks.html",
            caption="../workflow/report/benchmarks.rst",
            category="0. Main result",
            labels={"figure": "every benchmark"},
        ),
    params:
        code=experiment.jobs.code("tables"),
        options=experiment.table_options(),
    log:
        "results/logs/tables.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python scripts/tables.py " + COMPARED + BOOTSTRAP + "{params.options} --output results/tables " + LOGGED


rule bounds:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
        expand("results/train/{run}/ledger.parquet", run=experiment.compared_runs()),
        expand("results/profile/{pool}/history.json", pool=POOLS),
    output:
        expand("results/tables/bounds.{suffix}", suffix=["csv", "md", "tex"]),
        report(
            "results/tables/bounds.html",
            caption="../workflow/report/bounds.rst",
            category="4. Sample complexity",
            labels={"figure": "lower bounds, as a table"},
        ),
    params:
        code=experiment.jobs.code("bounds"),
        options=[POOLS, METHODS, SEEDS, experiment.config.complexity.confidence, experiment.config.evaluate.bootstrap],
    log:
        "results/logs/bounds.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python scripts/bounds.py "
        + COMPARED
        + " --confidence {experiment.config.complexity.confidence}"
        + BOOTSTRAP
        + "--output results/tables/bounds "
        + LOGGED


rule figures:
    input:
        expand("results/figures/accuracy_vs_{axis}.png", axis=["rollouts", "tokens", "cpu_seconds"]),
        expand("results/figures/{figure}_{pool}.png", figure=["selection", "profile"], pool=POOLS),
        "results/figures/training.png",
        "results/figures/informative.png",
        "results/figures/complexity.png",
