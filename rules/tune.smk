use rule evaluate as validate with:
    input:
        questions="results/data/validation.jsonl",
        checkpoints="results/train/{pool}/{method}/{seed}/checkpoints",
        ledger="results/train/{pool}/{method}/{seed}/ledger.parquet",
        base="results/base_completions/validation.parquet",
    output:
        "results/validate/{pool}/{method}/{seed}/completions.parquet",
    log:
        "results/logs/validate/{pool}/{method}/{seed}.log",


rule tune:
    input:
        expand("results/validate/{run}/completions.parquet", run=experiment.tuning_runs()),
    output:
        "results/tune/learning_rates.csv",
    params:
        settings=experiment.jobs.tune(),
    log:
        "results/logs/tune.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python scripts/tune.py --config {experiment.config_path} --output {output} {input} " + LOGGED
