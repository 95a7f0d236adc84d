rule train:
    input:
        pool="results/data/{pool}.jsonl",
        base=BASE,
        store=ancient("results/store.json"),
        history=history_of,
    output:
        ledger="results/train/{pool}/{method}/{seed}/ledger.parquet",
        metrics="results/train/{pool}/{method}/{seed}/metrics.csv",
        seconds="results/train/{pool}/{method}/{seed}/seconds.csv",
        provenance="results/train/{pool}/{method}/{seed}/provenance.json",
        checkpoints=directory("results/train/{pool}/{method}/{seed}/checkpoints"),
    params:
        settings=lambda wildcards: experiment.jobs.train(wildcards.method),
        history=lambda wildcards, input: f"--history {input.history}" if input.history else "",
        folder=subpath(output.ledger, parent=True),
    log:
        "results/logs/train/{pool}/{method}/{seed}.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "python scripts/train.py --name {wildcards.pool}/{wildcards.method}/{wildcards.seed}"
        " --method {wildcards.method} --seed {wildcards.seed} --config {experiment.config_path} --pool {input.pool} --base {input.base}"
        " {params.history} --state results/state/train/{wildcards.pool}/{wildcards.method}/{wildcards.seed}"
        " --tracking {input.store} --threads {threads} --output {params.folder} " + LOGGED
