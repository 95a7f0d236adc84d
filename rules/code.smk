# The hashes of the modules that jobs of a stage run, as a file: an input of theirs, so that it can be ignored
# (common.smk).


rule code:
    output:
        "results/code/{script}/{selector}.json",
    log:
        "results/logs/code/{script}/{selector}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        code=lambda wildcards: experiment.rule_params.code_as_json(wildcards.script, wildcards.selector),
    shell:
        "echo {params.code:q} > {output:q} 2> {log:q}"
