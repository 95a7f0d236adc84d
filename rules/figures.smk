# Figures and tables read results from disk and never train. Each figure is PDF, PNG and the CSV behind it.

SPENDING = [
    *expand("results/train/{run}/{file}", run=experiment.compared_runs(), file=["ledger.parquet", "metrics.csv"]),
    *expand("results/profile/{pool}/{file}", pool=POOLS, file=["history.json", "ledger.parquet"]),
]


for axis in experiment.costs:

    numbers = "seconds.csv" if axis.endswith("seconds") else "csv"

    rule:
        name:
            f"accuracy_vs_{axis}"
        input:
            expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
            expand(
                "results/train/{run}/seconds.csv", run=experiment.compared_runs() if numbers == "seconds.csv" else []
            ),
        output:
            pdf=f"results/figures/accuracy_vs_{axis}.pdf",
            csv=f"results/figures/accuracy_vs_{axis}.{numbers}",
            png=report(
                f"results/figures/accuracy_vs_{axis}.png",
                caption=f"../workflow/report/accuracy_vs_{axis}.rst",
                category="1. Accuracy against cost",
                labels={"figure": f"accuracy against {axis.replace('_', '-')}"},
            ),
        log:
            f"results/logs/figures/accuracy_vs_{axis}.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=more(2000),
            runtime=more(10),
        params:
            code=experiment.rule_params.code("plot_curves"),
            compared=experiment.compared_options(),
            bootstrap=experiment.config.evaluate.bootstrap,
            axis=axis,
            path=subpath(output.pdf, strip_suffix=".pdf"),
        shell:
            "python scripts/plot_curves.py --axis {params.axis} {params.compared} --bootstrap {params.bootstrap}"
            " --output {params.path} 2> >(tee {log} >&2)"


rule performance_profile:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
        expand("results/validate/{run}/completions.parquet", run=experiment.validated_runs()),
    output:
        pdf="results/figures/performance_profile.pdf",
        csv="results/figures/performance_profile.csv",
        png=report(
            "results/figures/performance_profile.png",
            caption="../workflow/report/performance_profile.rst",
            category="0. Main result",
            labels={"figure": "performance profiles"},
        ),
    log:
        "results/logs/figures/performance_profile.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("plot_performance"),
        compared=experiment.compared_options(),
        checkpoint=experiment.config.evaluate.checkpoint,
        bootstrap=experiment.config.evaluate.bootstrap,
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_performance.py {params.compared} --checkpoint {params.checkpoint} --bootstrap {params.bootstrap}"
        " --output {params.path} 2> >(tee {log} >&2)"


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
            labels={"figure": "reward, entropy, length, gradient"},
        ),
    log:
        "results/logs/figures/training.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("plot_measures"),
        compared=experiment.compared_options(),
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_measures.py --figure training {params.compared} --output {params.path} 2> >(tee {log} >&2)"


rule responses_figure:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
    output:
        pdf="results/figures/responses.pdf",
        csv="results/figures/responses.csv",
        png=report(
            "results/figures/responses.png",
            caption="../workflow/report/responses.rst",
            category="2. Training and selection",
            labels={"figure": "length, boxes, reflection"},
        ),
    log:
        "results/logs/figures/responses.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("plot_measures"),
        pools=POOLS,
        methods=METHODS,
        seeds=SEEDS,
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_measures.py --figure responses --pools {params.pools} --methods {params.methods} --seeds {params.seeds}"
        " --output {params.path} 2> >(tee {log} >&2)"


rule acquisition_figure:
    input:
        expand(
            "results/train/{pool}/{method}/{seed}/metrics.csv", pool=POOLS, method=experiment.acquiring(), seed=SEEDS
        ),
    output:
        pdf="results/figures/acquisition.pdf",
        csv="results/figures/acquisition.csv",
        png=report(
            "results/figures/acquisition.png",
            caption="../workflow/report/acquisition.rst",
            category="2. Training and selection",
            labels={"figure": "volatility and exploration"},
        ),
    log:
        "results/logs/figures/acquisition.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("plot_measures"),
        pools=POOLS,
        methods=experiment.acquiring(),
        seeds=SEEDS,
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_measures.py --figure acquisition --pools {params.pools} --methods {params.methods} --seeds {params.seeds}"
        " --output {params.path} 2> >(tee {log} >&2)"


rule selection_figure:
    input:
        expand(
            "results/train/{{pool}}/{method}/{seed}/{file}",
            method=METHODS,
            seed=SEEDS,
            file=["ledger.parquet", "metrics.csv"],
        ),
        "results/data/{pool}.jsonl",
    output:
        pdf="results/figures/selection_{pool}.pdf",
        csv="results/figures/selection_{pool}.csv",
        png=report(
            "results/figures/selection_{pool}.png",
            caption="../workflow/report/selection.rst",
            category="2. Training and selection",
            labels={"figure": "what was chosen, {pool} pool"},
        ),
    log:
        "results/logs/figures/selection_{pool}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("plot_selection"),
        methods=METHODS,
        seeds=SEEDS,
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_selection.py --pools {wildcards.pool} --methods {params.methods} --seeds {params.seeds}"
        " --output {params.path} 2> >(tee {log} >&2)"


rule informative_figure:
    input:
        SPENDING,
    output:
        pdf="results/figures/informative.pdf",
        csv="results/figures/informative.csv",
        png=report(
            "results/figures/informative.png",
            caption="../workflow/report/informative.rst",
            category="2. Training and selection",
            labels={"figure": "rollouts per informative group"},
        ),
    log:
        "results/logs/figures/informative.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("plot_informative"),
        compared=experiment.compared_options(),
        bootstrap=experiment.config.evaluate.bootstrap,
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_informative.py {params.compared} --bootstrap {params.bootstrap} --output {params.path} 2> >(tee {log} >&2)"


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
    log:
        "results/logs/figures/profile_{pool}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("plot_profile"),
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_profile.py --pool {wildcards.pool} --output {params.path} 2> >(tee {log} >&2)"


rule replay_figure:
    input:
        "results/profile/{pool}/history.json",
    output:
        pdf="results/figures/replay_{pool}.pdf",
        csv="results/figures/replay_{pool}.csv",
        png=report(
            "results/figures/replay_{pool}.png",
            caption="../workflow/report/replay.rst",
            category="2. Training and selection",
            labels={"figure": "selectors replayed, {pool} pool"},
        ),
    log:
        "results/logs/figures/replay_{pool}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("plot_replay"),
        group_size=experiment.config.recipes[experiment.config.profile].group_size,
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_replay.py --pool {wildcards.pool} --group-size {params.group_size}"
        " --output {params.path} 2> >(tee {log} >&2)"


rule complexity_figure:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.complexity_runs()),
        expand("results/train/{run}/provenance.json", run=experiment.complexity_runs()),
        expand("results/data/{pool}.jsonl", pool=experiment.complexity_pools),
        PUBLISHED_NUMBERS,
    output:
        pdf="results/figures/complexity.pdf",
        csv="results/figures/complexity.csv",
        png=report(
            "results/figures/complexity.png",
            caption="../workflow/report/complexity.rst",
            category="4. Sample complexity",
            labels={"figure": "accuracy by prompts and rollouts, with bounds"},
        ),
    log:
        "results/logs/figures/complexity.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.bounds("plot_complexity"),
        pools=experiment.complexity_pools,
        prompts=experiment.complexity_prompts(),
        rollout_bounds=experiment.bound_options("rollout"),
        prompt_bounds=experiment.bound_options("prompt"),
        seeds=SEEDS,
        confidence=experiment.config.complexity.confidence,
        bootstrap=experiment.config.evaluate.bootstrap,
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_complexity.py --pools {params.pools} --prompts {params.prompts}"
        " {params.rollout_bounds} {params.prompt_bounds}"
        " --seeds {params.seeds} --confidence {params.confidence} --bootstrap {params.bootstrap}"
        " --output {params.path} 2> >(tee {log} >&2)"


rule tables:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
        expand("results/validate/{run}/completions.parquet", run=experiment.validated_runs()),
        expand("results/profile/{pool}/ledger.parquet", pool=experiment.profiled_pools),
    output:
        "results/tables/scores.csv",
        expand(
            "results/tables/{table}.{suffix}",
            table=["main", "targets", "credit", "benchmarks", "significance", "aggregates", "checkpoints", "quality"],
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
        significance=report(
            "results/tables/significance.html",
            caption="../workflow/report/significance.rst",
            category="0. Main result",
            labels={"figure": "more than chance?"},
        ),
        aggregates=report(
            "results/tables/aggregates.html",
            caption="../workflow/report/aggregates.rst",
            category="0. Main result",
            labels={"figure": "aggregates"},
        ),
        checkpoints=report(
            "results/tables/checkpoints.html",
            caption="../workflow/report/checkpoints.rst",
            category="0. Main result",
            labels={"figure": "which checkpoint"},
        ),
        quality=report(
            "results/tables/quality.html",
            caption="../workflow/report/quality.rst",
            category="0. Main result",
            labels={"figure": "what completions are like"},
        ),
    log:
        "results/logs/tables.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("tables"),
        compared=experiment.compared_options(),
        bootstrap=experiment.config.evaluate.bootstrap,
        options=experiment.table_options(),
    shell:
        "python scripts/tables.py {params.compared} --bootstrap {params.bootstrap} {params.options} --output results/tables 2> >(tee {log} >&2)"


rule bounds:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
        expand("results/train/{run}/provenance.json", run=experiment.compared_runs()),
        expand("results/data/{pool}.jsonl", pool=POOLS),
        SPENDING,
    output:
        expand("results/tables/bounds.{suffix}", suffix=["csv", "md", "tex"]),
        report(
            "results/tables/bounds.html",
            caption="../workflow/report/bounds.rst",
            category="4. Sample complexity",
            labels={"figure": "bounds, as a table"},
        ),
    log:
        "results/logs/bounds.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.bounds("bounds"),
        compared=experiment.compared_options(),
        rollout_bounds=experiment.bound_options("rollout"),
        confidence=experiment.config.complexity.confidence,
        bootstrap=experiment.config.evaluate.bootstrap,
    shell:
        "python scripts/bounds.py {params.compared} {params.rollout_bounds} --confidence {params.confidence}"
        " --bootstrap {params.bootstrap} --output results/tables/bounds 2> >(tee {log} >&2)"


rule claims:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
        expand("results/train/{run}/seconds.csv", run=experiment.compared_runs()),
        PUBLISHED_NUMBERS,
    output:
        expand("results/tables/claims_seconds.{suffix}", suffix=["csv", "md", "tex"]),
        report(
            "results/tables/claims_seconds.html",
            caption="../workflow/report/claims.rst",
            category="0. Main result",
            labels={"figure": "claimed and measured savings"},
        ),
    log:
        "results/logs/claims.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("claims"),
        compared=experiment.compared_options(),
        options=experiment.saving_options(),
        bootstrap=experiment.config.evaluate.bootstrap,
    shell:
        "python scripts/claims.py {params.compared} {params.options} --bootstrap {params.bootstrap}"
        " --output results/tables/claims_seconds 2> >(tee {log} >&2)"


RUN_FIGURES = [
    *expand("results/figures/accuracy_vs_{axis}.png", axis=experiment.costs),
    *expand("results/figures/selection_{pool}.png", pool=POOLS),
    *expand("results/figures/{figure}.png", figure=["performance_profile", "training", "responses"]),
    *(["results/figures/acquisition.png"] if experiment.acquiring() else []),
    *(["results/figures/complexity.png"] if experiment.complexity_pools else []),
]


PROFILE_FIGURES = [
    *expand("results/figures/{figure}_{pool}.png", figure=["profile", "replay"], pool=experiment.profiled_pools),
    *(["results/figures/informative.png"] if experiment.profiled_pools else []),
]


# On a fresh clone, what papers print; the figures of the experiment too, once its runs are on disk.
rule figures:
    input:
        rules.published.input if experiment.config.published else [],
        RUN_FIGURES if experiment.evaluated else [],
        PROFILE_FIGURES if experiment.evaluated and experiment.profiled else [],
