rule data:
    input:
        experiment.config.base.converted or [],
        experiment.data_files,
        code=counts(experiment.code_path("data")),
    output:
        expand("results/data/{name}.jsonl", name=["test", "validation", *experiment.config.data.pools]),
        "results/data/hashes.json",
        "results/data/provenance.json",
    log:
        "results/logs/data.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        settings=experiment.rule_params.data(),
    shell:
        "python -m dopr.runtime.launch analysis data --config $DOPR_CONFIG --output results/data 2> >(tee {log:q} >&2)"


rule store:
    output:
        "results/store.json",
    log:
        "results/logs/store.log",
    conda:
        f"../envs/train{HARDWARE.variant}.yaml"
    threads: 1
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        code=experiment.rule_params.code("store"),
    shell:
        "python -m dopr.runtime.launch torch store --database results/mlflow.db --output {output:q} 2> >(tee {log:q} >&2)"
