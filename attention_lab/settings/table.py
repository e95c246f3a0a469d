"""The table of settings, by "section.key". Everything about a setting is said here once.

From it derive the defaults, the flags and their help, the validation of values, what a
resumed run may change, and docs/guides/settings.md.
"""

from collections.abc import Mapping
from functools import partial

from attention_lab.settings.setting import Setting

# Declares a setting that results do not depend on: a resumed run may change it.
Changeable = partial(Setting, resumable=True)

SETTINGS: Mapping[str, Setting] = {
  "attention": Setting(
    "standard",
    "Attention, with options: name(option=value). A pattern repeats along the layers: "
    "'a*3,b'.",
    flag="attention",
  ),
  "position": Setting("rope", "Positional scheme, with options.", flag="position"),
  "dataset": Setting("python_docs", "Dataset, with options.", flag="dataset"),
  "architecture.name": Setting(
    "decoder_only",
    "Architecture, with options.",
    flag="architecture",
    former="architecture",
  ),
  "architecture.encoder.attention": Setting(
    None, "Attention of the encoder, if it differs from `attention`.", kind=str
  ),
  "architecture.decoder.attention": Setting(
    None, "Attention of the decoder, if it differs from `attention`.", kind=str
  ),
  "architecture.cross.attention": Setting(
    None, "Attention from decoder to encoder, if it differs from `attention`.", kind=str
  ),
  "kernel": Setting(
    "auto",
    "Implementation of dot-product attention.",
    choices=("auto", "reference", "blocked", "xla", "cudnn"),
  ),
  "plugins": Changeable((), "Plugins to load; --plugin adds to them."),
  "data_dir": Changeable(
    "",
    "Folder to read and store data in; '' for the user's cache folder.",
    flag="data_dir",
  ),
  "profile": Changeable(False, "Write a trace of some steps to the run's folder."),
  "skip_checks": Changeable(
    False,
    "Train causal models without the leak check; the run records it.",
    flag="skip_checks",
  ),
  "compile_cache": Changeable(
    "", "Folder for compiled programs; '' for the user's cache folder, 'off' for none."
  ),
  "seed": Setting(
    0,
    "Seed of initialisation and dropout; with --mode=sample, of sampling.",
    at_least=0,
    below=2**32,
    flag="seed",
  ),
  "seeds": Changeable(
    1,
    "Number of runs that differ only in their seed: seed, seed + 1, and so on.",
    above=0,
    below=10_001,
    flag="seeds",
  ),
  "steps": Setting(1400, "Training steps.", above=0, flag="steps"),
  "batch_size": Setting(
    16, "Examples per step, over all devices.", above=0, flag="batch_size"
  ),
  "model.num_layers": Setting(4, "Number of layers.", above=0, below=10_001),
  "model.num_heads": Setting(4, "Number of attention heads.", above=0),
  "model.d_model": Setting(64, "Width of the model.", above=0),
  "model.d_ff": Setting(
    None, "Width of the feed-forward layers; None for 4 · d_model.", kind=int, above=0
  ),
  "model.key_size": Setting(
    None, "Size of one head; None for d_model / num_heads.", kind=int, above=0
  ),
  "model.norm": Setting(
    "pre",
    "Place of LayerNorm: before (pre) or after (post) each sublayer.",
    choices=("pre", "post"),
  ),
  "model.activation": Setting(
    "gelu",
    "Activation of the feed-forward layers.",
    choices=("relu", "gelu", "swiglu"),
  ),
  "model.init": Setting(
    "gpt2", "Initialisation of the parameters.", choices=("gpt2", "fan_in")
  ),
  "model.dropout": Setting(
    0.0, "Dropout rate of embeddings and of sublayer outputs.", at_least=0, below=1.0
  ),
  "model.feed_forward_bias": Setting(False, "Add a bias in the feed-forward layers."),
  "model.norm_offset": Setting(False, "Add a bias in LayerNorm."),
  "model.logits_bias": Setting(False, "Add a bias to the logits."),
  "model.tied_embeddings": Setting(True, "Share the embedding of input and output."),
  "model.layer_stack": Setting(
    "auto",
    "Compile one layer for all equal layers; auto does so above 8 layers.",
    choices=("auto", "always", "never"),
  ),
  "model.rematerialise": Setting(
    False, "Recompute activations in the backward pass: less memory, more time."
  ),
  "train.optimizer": Setting(
    "adamw(b2=0.99, weight_decay=0.1, decay_all=False)", "Optimizer, with options."
  ),
  "train.schedule": Setting(
    "cosine(warmup=0.05)", "Schedule of the learning rate, with options."
  ),
  "train.learning_rate": Setting(
    6e-3, "Learning rate at the peak of the schedule.", above=0
  ),
  "train.label_smoothing": Setting(
    0.0,
    "Share of the target spread evenly over all tokens, in the training loss only.",
    at_least=0,
    below=1.0,
  ),
  "train.clip_norm": Setting(
    1.0,
    "Largest norm of the gradient over all parameters; 0 for no clipping.",
    at_least=0,
  ),
  "train.precision": Setting(
    "float32",
    "Dtype of the computation; parameters stay in float32.",
    choices=("float32", "bfloat16"),
  ),
  "train.on_nonfinite": Changeable(
    "stop",
    "At a loss or gradient that is not finite: stop; skip the step; or rollback, which "
    "also restores the parameters of the last step that is a multiple of "
    "checkpoint.every.",
    choices=("stop", "skip", "rollback"),
  ),
  "train.nonfinite_limit": Changeable(
    10, "Steps that a run may skip before it stops.", above=0
  ),
  "train.micro_batches": Setting(
    1, "Parts into which a device splits its batch, to save memory.", above=0
  ),
  "train.steps_per_call": Changeable(
    64, "Largest number of steps that run without returning to Python.", above=0
  ),
  "evaluation.every": Changeable(400, "Steps between validations.", above=0),
  "evaluation.checkpoint": Changeable(
    "newest",
    "Checkpoint to evaluate or sample from.",
    choices=("newest", "best"),
  ),
  "evaluation.average": Changeable(
    1,
    "Number of the newest checkpoints whose mean is evaluated or sampled from.",
    above=0,
  ),
  "evaluation.extra_lengths": Changeable(
    (),
    "Further sequence lengths, in tokens, to validate at when training ends.",
    lengths=True,
    former="evaluation.lengths",
  ),
  "evaluation.scores": Changeable(
    False, "Compute BLEU and chrF of the validation split when training ends."
  ),
  "evaluation.files": Changeable(
    (),
    "With --mode=evaluate: two files of sentence pairs to score, "
    "('sources', 'references').",
  ),
  "checkpoint.every": Changeable(400, "Steps between checkpoints.", above=0),
  "checkpoint.keep": Changeable(
    3, "Number of newest checkpoints to keep; the best one is kept too.", above=0
  ),
  "checkpoint.changed_code": Changeable(
    "refuse",
    "Refuse or accept a run whose code has changed since; holds for one command.",
    choices=("refuse", "accept"),
  ),
  "log.every": Changeable(50, "Steps between entries of the log.", above=0),
  "log.tensorboard": Changeable(True, "Write TensorBoard events."),
  "log.wandb": Changeable(
    "off",
    "Log to Weights & Biases too.",
    choices=("off", "offline", "online"),
    flag="wandb",
  ),
  "benchmark.sequence_lengths": Changeable(
    (128, 256, 512, 1024, 2048),
    "With --mode=benchmark: sequence lengths in tokens, as 128,256.",
    lengths=True,
    flag="lengths",
    former="benchmark.lengths",
  ),
  "benchmark.batch_size": Changeable(
    1, "Sequences per batch; the training step uses batch_size.", above=0
  ),
  "benchmark.rounds": Changeable(
    7, "Number of times that each program is timed.", above=0
  ),
  "benchmark.step": Changeable(True, "Time the whole training step too."),
  "check.depth": Changeable(
    "full",
    "With --mode=check: test every case of every law (full), or the most important "
    "cases, in less time (quick).",
    choices=("full", "quick"),
  ),
  "sample.prompt": Changeable(
    None,
    "Text to continue, or source to translate; None for the dataset's own.",
    kind=str,
    flag="prompt",
  ),
  "sample.length": Changeable(
    300, "Tokens to generate; of translations, the most.", above=0, below=1_000_001
  ),
  "sample.input_file": Changeable(
    None,
    "With --mode=sample: file of sources, one per line; - for standard input.",
    kind=str,
    flag="input_file",
  ),
  "sample.count": Changeable(
    1, "Number of continuations, or of best translations.", above=0, below=10_001
  ),
  "sample.beam_size": Changeable(
    4,
    "Hypotheses of beam search; 1 for greedy decoding. Translation only.",
    above=0,
    below=1_001,
  ),
  "sample.length_penalty": Changeable(
    0.6, "α of arXiv:1609.08144, eq. 14. Translation only.", at_least=0
  ),
  "sample.temperature": Changeable(
    0.8, "Temperature of sampling; 0 for greedy.", at_least=0
  ),
  "sample.top_k": Changeable(
    0, "Sample from the k most likely tokens; 0 for all.", at_least=0
  ),
  "sample.top_p": Changeable(
    1.0,
    "Sample from the most likely tokens that have this probability together.",
    above=0,
    at_most=1,
  ),
  "sample.seed": Changeable(0, "Seed of sampling.", at_least=0, below=2**32),
  "sample.maps": Changeable(False, "Draw the attention maps of the prompt."),
  "processes.join": Changeable(
    25, "Seconds to wait at the start for the other processes of the run.", above=0
  ),
  "processes.lag": Changeable(
    20,
    "Seconds that a process may be silent or late before all processes end. Compiling, "
    "evaluating and saving do not count.",
    above=0,
  ),
  "compare.grid": Changeable(
    (), "Pairs of a setting and its values; lists in flags set it."
  ),
  "compare.match": Changeable(
    "parameters",
    "Add a row of equal cost for each attention whose cost differs from the baseline's.",
    choices=("parameters", "flops", "none"),
    flag="match",
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
  "compare.dry_run": Changeable(
    False,
    "With --mode=compare: print what would be run, and stop.",
    flag="dry_run",
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
