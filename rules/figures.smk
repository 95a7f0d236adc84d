rule figures:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.runs()),


rule tables:
    input:
        expand("results/evaluate/{run}/completions.parquet", run=experiment.runs()),
