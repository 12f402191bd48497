# From image files to a registered model:
#
#   download -> parse -> describe -> preview, draw_class_balance
#                     -> train -> evaluate -> draw_confusion
#                              -> draw_mistakes, draw_weights, draw_sweep
#                              -> register -> summarize -> report
#
# Your own images take the rule convert in place of download.
#
# Each stage is a file in workflow/rules/. Each rule runs the program of the same name in
# workflow/scripts/. docs/how-it-works.md explains the rest.

from snakemake.utils import min_version

min_version("9.19")


# ---- Configuration: config/README.md describes every key -----------------------------------


include: "workflow/rules/folders.smk"


configfile: own_or_shipped("config/config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/container.smk"
include: "workflow/rules/locks.smk"
include: "workflow/rules/backend.smk"
include: "workflow/rules/estimator.smk"
include: "workflow/rules/integrity.smk"
include: "workflow/rules/resources.smk"


# ---- Stages --------------------------------------------------------------------------------


include: "workflow/rules/data.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/pictures.smk"
include: "workflow/rules/registry.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/verify.smk"
include: "workflow/rules/cloud.smk"


# ---- Targets -------------------------------------------------------------------------------


rule all:
    default_target: True
    input:
        rules.describe.output.dataset,
        rules.train.output.model,
        rules.train.output.training,
        rules.train.output.sweep,
        rules.evaluate.output.metrics,
        PICTURES,
        rules.register.output.receipt,


# ---- Jobs to repeat ------------------------------------------------------------------------

JOBS_TO_REPEAT = jobs_to_repeat()
