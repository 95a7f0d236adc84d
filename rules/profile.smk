rule profile:
    input:
        pool="results/data/{pool}.jsonl",
        base=base_of,
        store=ancient("results/store.json"),
        code=counts(
            experiment.code_path("profile_prompts", experiment.config.recipes[experiment.config.profile].selector)
        ),
        weights=base_files_of,
    output:
        history="results/profile/{pool}/history.json",
        ranking="results/profile/{pool}/ranking.csv",
        ledger="results/profile/{pool}/ledger.parquet",
        metrics="results/profile/{pool}/metrics.csv",
        seconds="results/profile/{pool}/seconds.csv",
        hashes="results/profile/{pool}/hashes.json",
        provenance="results/profile/{pool}/provenance.json",
    log:
        "results/logs/profile/{pool}.log",
    conda:
        f"../envs/train{HARDWARE.variant}.yaml"
    threads: HARDWARE.processes
    resources:
        mem_mb=more(HARDWARE.mem_mb),
        runtime=more(HARDWARE.runtime),
        gpu=HARDWARE.gpus,
    params:
        launcher=HARDWARE.launcher,
        settings=experiment.rule_params.profile().describe(),
        folder=subpath(output.history, parent=True),
    shell:
        "{params.launcher} profile_prompts --name profile/{wildcards.pool:q} --seed 0 --config $DOPR_CONFIG"
        " --code {input.code:q} --pool {input.pool:q} --base {input.base:q} --state results/state/profile/{wildcards.pool:q}"
        " --tracking {input.store:q} --threads {threads} --output {params.folder:q} 2> >(tee {log:q} >&2)"
