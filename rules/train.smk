# One rule for each batch of seeds: `seeds_per_job` runs share a process, one after another.

for batch in experiment.seed_batches():

    rule:
        name:
            f"train_{'_'.join(batch)}"
        input:
            pool="results/data/{pool}.jsonl",
            base=base_of,
            store=ancient("results/store.json"),
            history=history_of,
            code=counts(training_code_of),
            weights=base_files_of,
        output:
            expand(
                "results/train/{{pool}}/{{method}}/{seed}/{file}",
                seed=batch,
                file=["ledger.parquet", "metrics.csv", "seconds.csv", "hashes.json", "provenance.json"],
            ),
            directory(expand("results/train/{{pool}}/{{method}}/{seed}/checkpoints", seed=batch)),
        log:
            f"results/logs/train/{{pool}}/{{method}}/{'_'.join(batch)}.log",
        conda:
            f"../envs/train{HARDWARE.variant}.yaml"
        threads: HARDWARE.processes
        resources:
            mem_mb=more(HARDWARE.mem_mb),
            runtime=more(HARDWARE.runtime),
            gpu=HARDWARE.gpus,
        params:
            launcher=HARDWARE.launcher,
            settings=lambda wildcards: experiment.rule_params.train(wildcards.method).describe(),
            history=lambda wildcards, input: ["--history", input.history] if input.history else [],
            seeds=batch,
        shell:
            "{params.launcher} train --config $DOPR_CONFIG --name {wildcards.pool:q}/{wildcards.method:q}"
            " --method {wildcards.method:q} --seeds {params.seeds:q} --pool {input.pool:q} --base {input.base:q}"
            " {params.history:q} --code {input.code:q} --tracking {input.store:q} --threads {threads}"
            " --state results/state/train/{wildcards.pool:q}/{wildcards.method:q}"
            " --output results/train/{wildcards.pool:q}/{wildcards.method:q} 2> >(tee {log:q} >&2)"
