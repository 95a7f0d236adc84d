if experiment.config.base.fetched:

    rule fetch:
        input:
            questions=expand("results/data/{split}.jsonl", split=["test", "validation"]),
            code=counts(experiment.code_path("fetch")),
        output:
            directory(experiment.config.base.fetched),
        log:
            "results/logs/fetch.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=more(4000),
            runtime=more(240),
        params:
            settings=experiment.rule_params.fetch(),
        shell:
            "python -m dopr.runtime.launch analysis fetch --config $DOPR_CONFIG --questions {input.questions:q} --output {output:q} 2> >(tee {log:q} >&2)"

elif experiment.config.base.converted:

    # The file is known by its hash, not by its age: a package that is installed again changes nothing.
    rule convert:
        input:
            gguf=ancient(experiment.gguf_file),
            code=counts(experiment.code_path("convert")),
        output:
            directory(experiment.config.base.converted),
        log:
            "results/logs/convert.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=more(2000),
            runtime=more(60),
        params:
            settings=experiment.rule_params.convert(),
        shell:
            "python -m dopr.runtime.launch analysis convert --config $DOPR_CONFIG --gguf {input.gguf:q} --output {output:q} 2> >(tee {log:q} >&2)"

else:

    rule base:
        input:
            held_out=expand("results/data/{split}.jsonl", split=["test", "validation"]),
            shipped=sorted((PROJECT / "resources/toy_policy").glob("*")),
        output:
            directory("results/base/{base}"),
        log:
            "results/logs/base/{base}.log",
        conda:
            f"../envs/train{HARDWARE.variant}.yaml"
        threads: 1
        resources:
            mem_mb=more(2000),
            runtime=more(60),
        params:
            settings=lambda wildcards: experiment.rule_params.base(int(wildcards.base)),
        shell:
            "python -m dopr.runtime.launch analysis base --config $DOPR_CONFIG --seed {wildcards.base:q} --held-out {input.held_out:q} --threads {threads}"
            " --state results/state/base/{wildcards.base:q}"
            " --output {output:q} 2> >(tee {log:q} >&2)"
