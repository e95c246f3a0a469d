"""Settings of --mode=compare."""

from collections.abc import Mapping

from attention_lab.settings.setting import Changeable, Setting

SETTINGS: Mapping[str, Setting] = {
  "compare.grid": Changeable(
    (), "Pairs of a setting and its values; lists in flags set it."
  ),
  "compare.rows": Changeable(
    (),
    "Named rows: pairs of a name and settings of its own; the first is the baseline.",
  ),
  "compare.folders": Changeable(
    (), "With --mode=report: folders to join; words without -- set it.", texts=True
  ),
  "compare.match": Changeable(
    "parameters",
    "Add a row of equal cost for each attention whose cost differs from the baseline's.",
    choices=("parameters", "flops", "none"),
    flag="match",
  ),
  "compare.tune": Changeable(
    "",
    "Settings that are chosen for each row by runs of their own, with their values: "
    "'train.learning_rate=1e-3,3e-3,1e-2'; several are separated by ;.",
    flag="tune",
  ),
  "compare.tune_seeds": Changeable(
    2, "Runs of each row with each value of --tune.", above=1, below=10_001
  ),
  "compare.margin": Changeable(
    "50%",
    "Largest difference that does not matter (0.01), or its share of the seeds' spread.",
  ),
  "compare.stale": Changeable(
    "retrain",
    "Runs whose code or data has changed are trained anew, refused or kept.",
    choices=("retrain", "refuse", "keep"),
  ),
  "compare.cost_lengths": Changeable(
    (128, 256, 512),
    "Sequence lengths, in tokens, at which attentions are timed; () for none.",
    lengths=True,
    former="compare.lengths",
  ),
  "compare.launcher": Changeable(
    "local", "Where the runs are started.", choices=("local", "slurm"), flag="launcher"
  ),
  "compare.jobs": Changeable(
    0,
    "Runs at a time with the launcher local; 0 for one per device.",
    at_least=0,
    below=10_001,
  ),
  "compare.vmap_seeds": Changeable(
    "auto",
    "Train the seeds of a row in one program; auto does so where it is faster.",
    choices=("auto", "always", "never"),
  ),
  "compare.slurm.partition": Changeable(
    "", "Slurm partition; '' for the cluster's default."
  ),
  "compare.slurm.minutes": Changeable(
    1440, "Time limit of one job, in minutes.", above=0
  ),
  "compare.slurm.cpus": Changeable(8, "CPUs per job.", above=0),
  "compare.slurm.gpus": Changeable(1, "GPUs per job.", at_least=0),
  "compare.slurm.memory_gb": Changeable(32, "Memory per job, in GB.", above=0),
}
