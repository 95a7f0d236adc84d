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
        settings=[experiment.rule_params.figure("ratio"), experiment.rule_params.table("ratio")],
    shell:
        "(python -m dopr.runtime.launch analysis table ratio --config $DOPR_CONFIG --output results/tables"
        " && python -m dopr.runtime.launch analysis figure ratio --config $DOPR_CONFIG --output results/figures/ratio) 2> >(tee {log:q} >&2)"
