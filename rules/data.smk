rule data:
    output:
        expand("results/data/{name}.jsonl", name=["test", "validation", *experiment.config.data.pools]),
    params:
        settings=experiment.jobs.data(),
    log:
        "results/logs/data.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "python scripts/data.py --config {experiment.config_path} --output results/data " + LOGGED


rule store:
    output:
        "results/store.json",
    params:
        code=experiment.jobs.code("store"),
    log:
        "results/logs/store.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "python scripts/store.py --database results/mlflow.db --output {output} " + LOGGED
