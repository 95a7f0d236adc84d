# What MLflow holds beside the metrics of training: evaluation, data sets, figures and tables. A store that fails costs a
# warning, and no result.


rule track:
    input:
        get_figures_and_tables(),
    output:
        experiment.tracked,
    log:
        "results/logs/track.log",
    conda:
        f"../envs/train{HARDWARE.variant}.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        settings=experiment.rule_params.track(),
    shell:
        "python -m dopr.runtime.launch torch track --config $DOPR_CONFIG --results results --output {output:q} 2> >(tee {log:q} >&2)"
