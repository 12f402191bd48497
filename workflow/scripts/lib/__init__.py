"""What the scripts share. Each module has one job and knows nothing of Snakemake."""
