rule evaluate_base:
    input:
        questions="results/data/{split}.jsonl",
        base=BASE,
    output:
        "results/base_completions/{split}.parquet",
    params:
        settings=experiment.jobs.evaluate(),
    log:
        "results/logs/evaluate_base/{split}.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "python scripts/evaluate.py --name base --seed 0 --config {experiment.config_path} --threads {threads}"
        " --questions {input.questions} --model {input.base} --output {output} " + LOGGED


rule evaluate:
    input:
        questions="results/data/test.jsonl",
        checkpoints="results/train/{pool}/{method}/{seed}/checkpoints",
        ledger="results/train/{pool}/{method}/{seed}/ledger.parquet",
        base="results/base_completions/test.parquet",
    output:
        "results/evaluate/{pool}/{method}/{seed}/completions.parquet",
    params:
        settings=experiment.jobs.evaluate(),
    log:
        "results/logs/evaluate/{pool}/{method}/{seed}.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "python scripts/evaluate.py --name {wildcards.pool}/{wildcards.method}/{wildcards.seed}"
        " --seed {wildcards.seed} --config {experiment.config_path} --questions {input.questions}"
        " --checkpoints {input.checkpoints} --ledger {input.ledger} --base {input.base}"
        " --threads {threads} --output {output} " + LOGGED
