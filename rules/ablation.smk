# The figure of an overlay, in a folder of its own: its runs lie with all others, and what has been run is not run again.


rule ablation:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.compared_runs()),
    output:
        pdf=f"results/ablations/{experiment.config.ablation}/accuracy.pdf",
        csv=f"results/ablations/{experiment.config.ablation}/accuracy.csv",
        png=report(
            f"results/ablations/{experiment.config.ablation}/accuracy.png",
            caption="../workflow/report/ablation.rst",
            category="Controls and ablations",
            labels={"figure": str(experiment.config.ablation)},
        ),
    log:
        f"results/logs/ablations/{experiment.config.ablation}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        code=experiment.jobs.code("plot_ablation"),
        compared=experiment.compared_options(),
        bootstrap=experiment.config.evaluate.bootstrap,
        path=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "python scripts/plot_ablation.py {params.compared} --bootstrap {params.bootstrap} --output {params.path} 2> >(tee {log} >&2)"
