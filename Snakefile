# From gz files to a registered model:
#
#   download -> parse -> preview
#                     -> train -> evaluate -> register
#                              -> draw_sweep
#
# Training and registering happen here or in Azure ML, as the backend says. Each stage is
# a file in workflow/rules/, each rule one script in workflow/scripts/.

from snakemake.utils import min_version

min_version("9.19")


# ---- Configuration: every key is described in config/README.md ------------------------------


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/locks.smk"
include: "workflow/rules/backend.smk"


# ---- Stages --------------------------------------------------------------------------------


include: "workflow/rules/data.smk"
include: "workflow/rules/preview.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/registry.smk"
include: "workflow/rules/cloud.smk"


# ---- Targets -------------------------------------------------------------------------------


rule all:
    default_target: True
    input:
        rules.register.output.receipt,


# ---- Results that are missing or altered ---------------------------------------------------


include: "workflow/rules/integrity.smk"
