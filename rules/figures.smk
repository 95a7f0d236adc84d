# Figures and tables read results from disk and never train. Each figure is PDF, PNG and the CSV behind it.


# Every figure reads many runs. The hashes of their files, in one file, are what it depends on: with the files themselves
# planning a large experiment would take twice as long.
RUNS = list(dict.fromkeys([*experiment.compared_runs(), *experiment.complexity_runs()]))
EVALUATED = "results/evaluated.sha256"
TRAINED = "results/trained.sha256"
PROFILED = expand("results/profile/{pool}/{file}", pool=POOLS, file=["history.json", "ledger.parquet"])


for hashes, runs_of, files in [
    (EVALUATED, {"evaluate": RUNS, "validate": list(experiment.validated_runs())}, ["completions.parquet"]),
    (TRAINED, {"train": RUNS}, ["ledger.parquet", "metrics.csv", "seconds.csv", "provenance.json"]),
]:

    rule:
        name:
            Path(hashes).stem
        input:
            [f"results/{stage}/{run}/{file}" for stage in runs_of for run in runs_of[stage] for file in files],
        output:
            hashes,
        log:
            f"results/logs/{Path(hashes).stem}.log",
        localrule: True
        conda:
            "../envs/analysis.yaml"
        params:
            folders=sorted({f"results/{stage}/{run.rpartition('/')[0]}" for stage in runs_of for run in runs_of[stage]}),
            names=f".*/({'|'.join(files)})",
        shell:
            "find {params.folders:q} -regextype egrep -regex {params.names:q} 2> {log:q} | sort | xargs sha256sum > {output:q} 2>> {log:q}"


# Name of a figure: what it reads, its caption in workflow/report, its category and label in the report.
FIGURES = {
    **{
        f"accuracy_vs_{cost}": (
            [EVALUATED, *([TRAINED] if cost.endswith("seconds") else [])],
            f"accuracy_vs_{cost}",
            "1. Accuracy against cost",
            f"accuracy against {cost.replace('_', '-')}",
        )
        for cost in experiment.costs
    },
    "performance_profile": (
        [EVALUATED],
        "performance_profile",
        "0. Main result",
        "performance profiles",
    ),
    "training": ([TRAINED], "training", "2. Training and selection", "reward, entropy, length, gradient"),
    "responses": ([EVALUATED], "responses", "2. Training and selection", "length, boxes, reflection"),
    "acquisition": ([TRAINED], "acquisition", "2. Training and selection", "volatility and exploration"),
    "informative": ([TRAINED, *PROFILED], "informative", "2. Training and selection", "rollouts per informative group"),
    "selection_{pool}": (
        [TRAINED, "results/data/{pool}.jsonl"],
        "selection",
        "2. Training and selection",
        "what was chosen, {pool} pool",
    ),
    "replay_{pool}": (
        ["results/profile/{pool}/history.json"],
        "replay",
        "2. Training and selection",
        "selectors replayed, {pool} pool",
    ),
    "profile_{pool}": (
        ["results/data/{pool}.jsonl", "results/profile/{pool}/history.json", "results/profile/{pool}/ranking.csv"],
        "profile",
        "3. Historical variance",
        "variance and ranking, {pool} pool",
    ),
    "complexity": (
        [EVALUATED, TRAINED, *expand("results/data/{pool}.jsonl", pool=experiment.config.complexity.pools)],
        "complexity",
        "4. Sample complexity",
        "accuracy by prompts and rollouts, with bounds",
    ),
}


for figure, (files, caption, category, label) in FIGURES.items():

    rule:
        name:
            f"{figure.replace('_{pool}', '')}_figure"
        input:
            files,
        output:
            pdf=f"results/figures/{figure}.pdf",
            csv=f"results/figures/{figure}.csv",
            png=report(
                f"results/figures/{figure}.png",
                caption=f"../workflow/report/{caption}.rst",
                category=category,
                labels={"figure": label},
            ),
        log:
            f"results/logs/figures/{figure}.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=more(2000),
            runtime=more(10),
        params:
            settings=experiment.rule_params.figure(figure),
            figure=figure,
            path=subpath(output.pdf, strip_suffix=".pdf"),
        shell:
            "python -m dopr.runtime.launch analysis figure {params.figure} --config $DOPR_CONFIG --output {params.path:q} 2> >(tee {log:q} >&2)"


# Name of a group of tables: what it reads, its category, and of each table the caption and the label in the report.
TABLES = {
    "comparison": (
        [
            EVALUATED,
            TRAINED,
            *expand("results/profile/{pool}/ledger.parquet", pool=experiment.profiled_pools),
        ],
        "0. Main result",
        {
            "main": ("main", "main table"),
            "targets": ("targets", "rollouts to a target"),
            "credit": ("credit", "what made each saving"),
            "benchmarks": ("benchmarks", "every benchmark"),
            "significance": ("significance", "more than chance?"),
            "aggregates": ("aggregates", "aggregates"),
            "checkpoints": ("checkpoints", "which checkpoint"),
            "quality": ("quality", "what completions are like"),
        },
    ),
    "bounds": (
        [
            EVALUATED,
            TRAINED,
            *expand("results/data/{pool}.jsonl", pool=POOLS),
            *PROFILED,
        ],
        "4. Sample complexity",
        {"bounds": ("bounds", "bounds, as a table")},
    ),
    "claims": (
        [EVALUATED, TRAINED, *PUBLISHED_NUMBERS],
        "0. Main result",
        {"claims_seconds": ("claims", "claimed and measured savings")},
    ),
}


for group, (files, category, tables) in TABLES.items():

    rule:
        name:
            "tables" if group == "comparison" else group
        input:
            files,
        output:
            expand("results/tables/{table}.{suffix}", table=tables, suffix=["csv", "md", "tex"]),
            "results/tables/scores.csv" if group == "comparison" else [],
            *[
                report(
                    f"results/tables/{table}.html",
                    caption=f"../workflow/report/{caption}.rst",
                    category=category,
                    labels={"figure": label},
                )
                for table, (caption, label) in tables.items()
            ],
        log:
            f"results/logs/tables/{group}.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=more(2000),
            runtime=more(10),
        params:
            settings=experiment.rule_params.table(group),
            group=group,
        shell:
            "python -m dopr.runtime.launch analysis table {params.group} --config $DOPR_CONFIG --output results/tables 2> >(tee {log:q} >&2)"


RUN_FIGURES = [
    *expand("results/figures/accuracy_vs_{cost}.png", cost=experiment.costs),
    *expand("results/figures/selection_{pool}.png", pool=POOLS),
    *expand("results/figures/{figure}.png", figure=["performance_profile", "training", "responses"]),
    *(["results/figures/acquisition.png"] if experiment.acquiring() else []),
    *(["results/figures/complexity.png"] if experiment.config.complexity.pools else []),
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
