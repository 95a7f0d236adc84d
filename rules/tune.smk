rule tune:
    input:
        expand("results/validate/{run}/completions.parquet", run=experiment.tuning_runs()),
    output:
        "results/tune/learning_rates.csv",
    log:
        "results/logs/tune.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        settings=experiment.rule_params.tune(),
    shell:
        "python -m dopr.runtime.launch analysis tune --config $DOPR_CONFIG --output {output:q} {input:q} 2> >(tee {log:q} >&2)"
