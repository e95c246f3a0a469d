"""Settings of what is done with an experiment: evaluation, files, and each --mode."""

from collections.abc import Mapping

from attention_lab.settings.setting import Changeable, Setting

SETTINGS: Mapping[str, Setting] = {
  "evaluation.every": Changeable(400, "Steps between validations.", above=0),
  "evaluation.batches": Changeable(
    None,
    "Batches of a validation while training, evenly spaced over the split; 0 for the whole "
    "split, None for as many as have 262,144 tokens. The last validation, and "
    "--mode=evaluate, use the whole split.",
    kind=int,
    at_least=0,
    before=0,
  ),
  "evaluation.split": Changeable(
    "all",
    "With --mode=evaluate: the split to evaluate. Of the training split, as many batches "
    "are used as validation has.",
    choices=("all", "train", "validation", "test"),
  ),
  "evaluation.stride": Changeable(
    None,
    "With --mode=evaluate: tokens between the starts of the windows of a text, at most "
    "sequence_length, so that each target has a longer context; None for windows that do "
    "not overlap. The training split is evaluated without.",
    kind=int,
    above=0,
  ),
  "evaluation.checkpoint": Changeable(
    "newest",
    "Checkpoint to evaluate, to sample from, or to start from with --from. The best has "
    "the lowest validation loss of those saved at the step of a validation.",
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
    texts=True,
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
    path=True,
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
  "sample.context": Changeable(
    "trained",
    "Read at most as many tokens at once as in training, and continue from the last half "
    "of them (trained), or read all, beyond what was trained (extend). Not for pairs.",
    choices=("trained", "extend"),
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
}
