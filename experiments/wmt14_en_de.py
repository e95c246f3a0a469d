"""WMT 2014 English to German by the base model (arXiv:1706.03762, section 5).

Wants the paper's data, which is not downloaded here: in a folder wmt14/, train.en and
train.de (4.5 million pairs, line by line), newstest2013.en and .de, newstest2014.en and
.de. Then, each with --workdir=runs/wmt14:

python -m attention_lab.main --config=experiments/wmt14_en_de.py
python -m attention_lab.main --mode=evaluate --config.evaluation.average=5
python -m attention_lab.main --mode=sample --input_file=wmt14/newstest2014.en

The first learns 37,000 subwords, encodes everything once, and trains; the second scores
the mean of the last five checkpoints by BLEU and chrF, with beam 4. Not run here yet. The
paper had 27.3 BLEU with 100,000 steps, tokenised; sacrebleu's signature says what ours is.
"""

from pathlib import Path

from attention_lab import config as configs

BASE = Path(__file__).with_name("attention_is_all_you_need.py")


def get_config():
  """The base model; about 25,000 source and 25,000 target tokens a step."""
  config = configs.load_file(str(BASE))
  config.dataset = (
    "parallel_text(source='wmt14/{split}.en', target='wmt14/{split}.de', "
    "validation='newstest2013', test='newstest2014', vocabulary_size=37000, "
    "sequence_length=128)"
  )
  config.steps = 100_000
  config.batch_size = 192  # Rows of 128 tokens; shorter ones are more.
  config.evaluation.every = 5_000
  config.checkpoint.update(every=1_500, keep=5)
  config.log.every = 100
  return config
