rule base:
    input:
        expand("results/data/{split}.jsonl", split=["test", "validation"]),
    output:
        directory("results/base"),
    params:
        settings=experiment.jobs.base(),
    log:
        "results/logs/base.log",
    conda:
        "../envs/dopr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "python scripts/base.py --config {experiment.config_path} --held-out {input} --threads {threads}"
        " --output {output} " + LOGGED
