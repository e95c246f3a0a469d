"""Files of tokenizers that their libraries make."""

import base64
import json

import tokenizers
from tiktoken import _educational
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from attention_lab.tokenizer.tiktoken import ENCODINGS
from tests.tokenizer.laws import TRAINING

SEPARATOR = "<|endoftext|>"
BYTE_NAMES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(
  prefix=False, alphabet=True, split=None, special=(SEPARATOR,), added=(), size=330
):
  """Return a tokenizer of `tokenizers` that encodes bytes, as of GPT-2."""
  made = tokenizers.Tokenizer(models.BPE())
  level = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=split is None)
  made.pre_tokenizer = pre_tokenizers.Sequence([*([split] if split else []), level])
  made.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=size,
    special_tokens=list(special),
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
    show_progress=False,
  )
  made.train_from_iterator(TRAINING, trainer)
  made.add_tokens(list(added))
  return made


def with_spaces(prefix="never", fallback=True, size=330):
  """Return a tokenizer of `tokenizers` that writes spaces as "▁", as of Gemma."""
  special = ["<unk>", "<bos>", "<eos>"]
  made = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=fallback))
  made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix)
  made.decoder = decoders.Sequence(
    [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=prefix)]
  )
  trainer = trainers.BpeTrainer(
    vocab_size=size, special_tokens=[*special, *BYTE_NAMES], show_progress=False
  )
  made.train_from_iterator(TRAINING, trainer)
  content = json.loads(made.to_str())
  # As in published files, the tokens of bytes are no special tokens.
  content["added_tokens"] = [x for x in content["added_tokens"] if x["id"] < 3]
  return tokenizers.Tokenizer.from_str(json.dumps(content))


def unigram():
  """Return a tokenizer of `tokenizers` that lower-cases, as of ALBERT."""
  made = tokenizers.Tokenizer(models.Unigram())
  made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
  made.pre_tokenizer = pre_tokenizers.Metaspace()
  made.decoder = decoders.Metaspace()
  trainer = trainers.UnigramTrainer(
    vocab_size=100,
    special_tokens=["<unk>", "[SEP]"],
    unk_token="<unk>",
    show_progress=False,
  )
  made.train_from_iterator(TRAINING, trainer)
  return made


def word_piece():
  """Return a tokenizer of `tokenizers` that splits words, as of BERT."""
  made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
  made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  made.decoder = decoders.WordPiece()
  trainer = trainers.WordPieceTrainer(
    vocab_size=150, special_tokens=["[UNK]", "[SEP]"], show_progress=False
  )
  made.train_from_iterator(TRAINING, trainer)
  return made


def ranks(pattern="gpt2", size=330):
  """Return ranks that tiktoken's own trainer finds, by token."""
  return _educational.bpe_train(
    "".join(TRAINING), size, ENCODINGS[pattern].pattern, visualise=None
  )


def rank_file(found):
  """Return ranks as the content of a file."""
  lines = (base64.b64encode(token) + b" %d\n" % rank for token, rank in found.items())
  return b"".join(lines)
