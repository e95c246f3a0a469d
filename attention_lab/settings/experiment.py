"""Settings of an experiment: its parts, its model and its training."""

from collections.abc import Mapping

from attention_lab.settings.setting import Changeable, Setting

SETTINGS: Mapping[str, Setting] = {
  "attention": Setting(
    "standard",
    "Attention, with options: name(option=value). A pattern repeats along the layers: "
    "'a*3,b'.",
    flag="attention",
  ),
  "position": Setting(
    "auto",
    "Positional scheme, with options; 'auto' for that of the attention's paper, which the "
    "run records.",
    flag="position",
    evaluable=True,
    before="rope",
  ),
  "dataset": Setting(
    "python_docs",
    "Dataset, with options.",
    flag="dataset",
    evaluable=True,
    renamed=(("text_file", "text"),),
  ),
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
    evaluable=True,
  ),
  "plugins": Changeable((), "Plugins to load; --plugin adds to them.", texts=True),
  "data_dir": Changeable(
    "",
    "Folder to read and store data in; '' for the user's cache folder.",
    flag="data_dir",
    path=True,
  ),
  "profile": Changeable(False, "Write a trace of some steps to the run's folder."),
  "skip_checks": Changeable(
    False,
    "Train causal models without the leak check; the run records it.",
    flag="skip_checks",
  ),
  "dry_run": Changeable(
    False,
    "With --mode=train or --mode=compare: print what would be run, its size and its time, "
    "and stop.",
    flag="dry_run",
    former="compare.dry_run",
  ),
  "compile_cache": Changeable(
    "",
    "Folder for compiled programs; '' for the user's cache folder, 'off' for none.",
    path=True,
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
    below=1_001,
    flag="seeds",
  ),
  "steps": Setting(1400, "Training steps.", above=0, flag="steps"),
  "batch_size": Setting(
    16,
    "Examples per step, over all devices.",
    above=0,
    flag="batch_size",
    evaluable=True,
  ),
  "data.document_mask": Setting(
    False,
    "Keep the documents of a sequence apart: no token sees another document, positions "
    "and recurrent states begin anew. The dataset has to name its separator.",
    evaluable=True,
    before=False,
  ),
  "option_defaults": Setting(
    1,
    "Version of the defaults of options. Runs that were stored before version 1 name the "
    "values that they had.",
    at_least=1,
    at_most=1,
    before=1,
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
  "model.block": Setting(
    "sequential", "Block, the layer of the model, with options.", before="sequential"
  ),
  "model.norm": Setting(
    "pre",
    "Place of the normalisation: before (pre) or after (post) each sublayer.",
    choices=("pre", "post"),
  ),
  "model.norm_layer": Setting(
    "layer_norm", "Normalisation, with options.", before="layer_norm"
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
  "model.norm_offset": Setting(False, "Add a bias in the normalisation."),
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
  "train.tokens": Changeable(
    None,
    "Number of training tokens, in place of `steps`: training takes the smallest number "
    "of steps that covers them. The run stores that number of steps.",
    kind=int,
    above=0,
    below=10**15,
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
  "train.data_order": Setting(
    "seed",
    "Order of the training examples: another one for each seed, or shared by all seeds.",
    choices=("seed", "shared"),
    before="shared",
  ),
  "train.held_out": Setting(
    0.0,
    "Share of the training examples to validate on, in place of the validation split; "
    "they are not trained on.",
    at_least=0,
    below=1.0,
  ),
  "train.start_from": Setting(
    "",
    "Folder of a run whose parameters a new run starts from; '' for random parameters. "
    "--from also takes all settings of that run that are not given.",
    flag="from",
    path=True,
    before="",
  ),
  "train.from_optimizer": Setting(
    "fresh",
    "With --from: begin with a fresh state of the optimizer, or keep that of the other "
    "run. The schedule begins anew.",
    choices=("fresh", "kept"),
    before="fresh",
  ),
  "train.precision": Setting(
    "float32",
    "Dtype of the computation; parameters stay in float32.",
    choices=("float32", "bfloat16"),
    evaluable=True,
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
}
