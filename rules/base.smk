rule base:
    input:
        expand("results/data/{split}.jsonl", split=["test", "validation"]),
    output:
        directory("results/base"),
    log:
        "results/logs/base.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=experiment.jobs.base(),
    shell:
        "python scripts/base.py --config $DOPR_CONFIG --held-out {input} --threads {threads}"
        " --state results/state/base"
        " --output {output} 2> >(tee {log} >&2)"
