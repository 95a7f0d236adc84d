# What papers print, drawn and tabled at once, with no run. Runs of a paper's overlay that are on disk stand beside it,
# as they are: nothing here trains or evaluates.


PUBLISHED_NUMBERS = sorted((PROJECT / "resources/published").glob("*.csv"))
PUBLISHED_FIGURES = [
    "accuracy",
    "best_per_benchmark",
    "models",
    "arc",
    "single_examples",
    "categories",
    "loss_terms",
    "entropy_only",
    "format_reward",
    "wrong_labels",
    "boxed",
    "response_length",
    "pass_at_8",
    "in_context",
    "dopr",
    "claims",
]


rule own_numbers:
    input:
        experiment.comparable_on_disk(),
    output:
        "results/published/own_numbers.csv",
    log:
        "results/logs/published/own_numbers.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("own_numbers"),
        model=experiment.model,
        runs=experiment.comparable_runs(),
        bootstrap=experiment.config.evaluate.bootstrap,
    shell:
        "python -m dopr.runtime.launch analysis own_numbers --model={params.model:q} --runs {params.runs:q} --bootstrap {params.bootstrap:q}"
        " --output {output:q} 2> >(tee {log:q} >&2)"


for figure in PUBLISHED_FIGURES:

    rule:
        name:
            f"published_{figure}"
        input:
            ours="results/published/own_numbers.csv",
            numbers=PUBLISHED_NUMBERS,
        output:
            pdf=f"results/figures/published/{figure}.pdf",
            csv=f"results/figures/published/{figure}.csv",
            png=report(
                f"results/figures/published/{figure}.png",
                caption="../workflow/report/published.rst",
                category="5. What papers print",
                labels={"figure": figure.replace("_", " ")},
            ),
        log:
            f"results/logs/published/{figure}.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=more(1000),
            runtime=more(10),
        params:
            code=experiment.rule_params.published("figure"),
            figure=f"published/{figure}",
            path=subpath(output.pdf, strip_suffix=".pdf"),
        shell:
            "python -m dopr.runtime.launch analysis figure {params.figure:q} --ours {input.ours:q} --output {params.path:q} 2> >(tee {log:q} >&2)"


rule published_tables:
    input:
        ours="results/published/own_numbers.csv",
        numbers=PUBLISHED_NUMBERS,
    output:
        expand(
            "results/tables/{table}.{suffix}",
            table=["published", "conflicts"],
            suffix=["csv", "md", "tex"],
        ),
        published=report(
            "results/tables/published.html",
            caption="../workflow/report/published_table.rst",
            category="5. What papers print",
            labels={"figure": "table: printed and ours"},
        ),
        conflicts=report(
            "results/tables/conflicts.html",
            caption="../workflow/report/conflicts.rst",
            category="5. What papers print",
            labels={"figure": "table: known conflicts"},
        ),
    log:
        "results/logs/published/tables.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        code=experiment.rule_params.published("table"),
    shell:
        "python -m dopr.runtime.launch analysis table published --ours {input.ours:q} --output results/tables 2> >(tee {log:q} >&2)"


rule record:
    input:
        experiment.record_at_hand(),
    output:
        pdf="results/figures/published/record.pdf",
        csv="results/figures/published/record.csv",
        png=report(
            "results/figures/published/record.png",
            caption="../workflow/report/record.rst",
            category="3. Historical variance",
            labels={"figure": "how the published ranking forms"},
        ),
    log:
        "results/logs/published/record.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        code=experiment.rule_params.record(),
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python -m dopr.cli ranking {input:q} --output {params.path:q} > /dev/null 2> >(tee {log:q} >&2)"


rule published:
    input:
        expand("results/figures/published/{figure}.png", figure=PUBLISHED_FIGURES),
        rules.published_tables.output,
        rules.record.output.png if experiment.record_at_hand() else [],
