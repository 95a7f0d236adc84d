# Reuse off and on, selection off and on, on pools that repeat one experiment: experiments/ratio.yaml.


rule ratio:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.ratio_runs()),
        expand("results/train/{run}/{file}", run=experiment.ratio_runs(), file=["metrics.csv", "seconds.csv"]),
    output:
        expand(
            "results/tables/{table}.{suffix}",
            table=["ratio", "ratio_ceilings", "ratio_credit", "ratio_seconds"],
            suffix=["csv", "md", "tex", "html"],
        ),
        expand("results/figures/ratio.{suffix}", suffix=["pdf", "png", "csv"]),
    log:
        "results/logs/ratio.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("ratio"),
        options=experiment.ratio_options(),
        bootstrap=experiment.config.evaluate.bootstrap,
    shell:
        "python scripts/ratio.py {params.options} --bootstrap {params.bootstrap} 2> >(tee {log} >&2)"
