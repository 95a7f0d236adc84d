rule evaluate_base:
    input:
        questions="results/data/{split}.jsonl",
        base=lambda wildcards: experiment.base_named(wildcards.base),
        code=counts(experiment.code_path("evaluate")),
        weights=base_files_of,
    output:
        "results/base_completions/{base}/{split}.parquet",
    log:
        "results/logs/evaluate_base/{base}/{split}.log",
    conda:
        f"../envs/evaluate{HARDWARE.variant}.yaml"
    threads: 1
    resources:
        mem_mb=more(HARDWARE.mem_mb),
        runtime=more(HARDWARE.runtime),
        gpu=HARDWARE.gpus_each,
    params:
        settings=experiment.rule_params.evaluate().describe(),
    shell:
        "python -m dopr.runtime.launch torch evaluate --config $DOPR_CONFIG --name base/{wildcards.base:q} --threads {threads}"
        " --questions {input.questions:q} --model {input.base:q} --output {output:q} 2> >(tee {log:q} >&2)"


# Checkpoints on the test questions, and, for tuning, on the validation questions.
for batch in experiment.seed_batches():
    for folder, split in [("evaluate", "test"), ("validate", "validation")]:

        rule:
            name:
                f"{folder}_{'_'.join(batch)}"
            input:
                expand(
                    "results/train/{{pool}}/{{method}}/{seed}/{part}",
                    seed=batch,
                    part=["checkpoints", "ledger.parquet"],
                ),
                questions=f"results/data/{split}.jsonl",
                base=base_completions_of(split),
                code=counts(experiment.code_path("evaluate")),
            output:
                expand(f"results/{folder}/{{{{pool}}}}/{{{{method}}}}/{{seed}}/completions.parquet", seed=batch),
            log:
                f"results/logs/{folder}/{{pool}}/{{method}}/{'_'.join(batch)}.log",
            conda:
                f"../envs/evaluate{HARDWARE.variant}.yaml"
            threads: 1
            resources:
                mem_mb=more(HARDWARE.mem_mb),
                runtime=more(HARDWARE.runtime),
                gpu=HARDWARE.gpus_each,
            params:
                settings=experiment.rule_params.evaluate().describe(),
                seeds=batch,
                folder=f"results/{folder}/{{pool}}/{{method}}",
            shell:
                "python -m dopr.runtime.launch torch evaluate --config $DOPR_CONFIG --name {wildcards.pool:q}/{wildcards.method:q}"
                " --runs results/train/{wildcards.pool:q}/{wildcards.method:q} --seeds {params.seeds:q}"
                " --questions {input.questions:q} --base {input.base:q} --threads {threads} --output {params.folder:q} 2> >(tee {log:q} >&2)"
