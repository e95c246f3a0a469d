"""WMT 2014 English to German with the base model (arXiv:1706.03762, section 5).

The paper's data must be downloaded separately. A folder wmt14/ must contain train.en and
train.de (4.5 million pairs of lines), newstest2013.en and .de, and newstest2014.en and
.de. Then run, each with --workdir=runs/wmt14:

python -m attention_lab.main --config=experiments/wmt14_en_de.py
python -m attention_lab.main --mode=evaluate --config.evaluation.average=5
python -m attention_lab.main --mode=sample --input_file=wmt14/newstest2014.en

The first command learns 37,000 subwords, encodes the data once, and trains. The second
averages the last five checkpoints and computes BLEU and chrF with beam size 4. The third
translates newstest2014. This has not been run yet. The paper reports 27.3 tokenised BLEU
after 100,000 steps; our BLEU is defined by the sacrebleu signature in evaluation.json.
"""

from pathlib import Path

from attention_lab import config as configs

BASE = Path(__file__).with_name("attention_is_all_you_need.py")


def get_config():
  """Return the configuration of the base model, with about 25,000 source and 25,000 target
  tokens per step.
  """
  config = configs.load_file(str(BASE))
  config.dataset = (
    "parallel_text(source='wmt14/{split}.en', target='wmt14/{split}.de', "
    "validation='newstest2013', test='newstest2014', vocabulary_size=37000, "
    "sequence_length=128)"
  )
  config.steps = 100_000
  # Rows of 128 tokens; batches of shorter sentences have more rows.
  config.batch_size = 192
  config.evaluation.every = 5_000
  config.checkpoint.update(every=1_500, keep=5)
  config.log.every = 100
  return config
