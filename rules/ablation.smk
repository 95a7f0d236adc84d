# The figure of an overlay, in a folder of its own: its runs lie with all others, and what has been run is not run again.


rule ablation:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
    output:
        pdf=f"results/ablations/{experiment.config.ablation}/accuracy.pdf",
        csv=f"results/ablations/{experiment.config.ablation}/accuracy.csv",
        png=report(
            f"results/ablations/{experiment.config.ablation}/accuracy.png",
            caption="../workflow/report/ablation.rst",
            category="Controls and ablations",
            labels={"figure": str(experiment.config.ablation)},
        ),
    log:
        f"results/logs/ablations/{experiment.config.ablation}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        settings=experiment.rule_params.figure("ablation"),
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python -m dopr.runtime.launch analysis figure ablation --config $DOPR_CONFIG --output {params.path:q} 2> >(tee {log:q} >&2)"


# A paper's overlay has printed numbers to stand beside.
if experiment.model:

    rule ablation_published:
        input:
            expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
            PUBLISHED_NUMBERS,
        output:
            expand(
                f"results/ablations/{experiment.config.ablation}/{{table}}.{{suffix}}",
                table=["published", "conflicts"],
                suffix=["csv", "md", "tex", "html"],
            ),
            ours=f"results/ablations/{experiment.config.ablation}/own_numbers.csv",
        log:
            f"results/logs/ablations/{experiment.config.ablation}_published.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=more(2000),
            runtime=more(10),
        params:
            code=[experiment.rule_params.code("own_numbers"), experiment.rule_params.published("table")],
            model=experiment.model,
            runs=list(experiment.compared_runs()),
            bootstrap=experiment.config.evaluate.bootstrap,
            folder=f"results/ablations/{experiment.config.ablation}",
        shell:
            "(python -m dopr.runtime.launch analysis own_numbers --model={params.model:q} --runs {params.runs:q} --bootstrap {params.bootstrap:q}"
            " --output {output.ours:q} && python -m dopr.runtime.launch analysis table published --ours {output.ours:q} --output {params.folder:q})"
            " 2> >(tee {log:q} >&2)"
