"""Characters: their bytes, the separator, and what is refused."""

import pytest

from attention_lab.errors import UserError
from attention_lab.tokenizer.base.tokenizer import tokenizers
from attention_lab.tokenizer.base.vocabulary import (
  CharacterVocabulary,
  separator_of,
  token_bytes_of,
)


def learned(documents, separated):
  tokenizer = tokenizers.bind("characters")()
  return tokenizer.vocabulary(tokenizer.learn(lambda: documents, separated), separated)


def test_characters_are_sorted_and_a_separator_is_the_last_token():
  vocabulary = learned(["bé", "a😀\n", ""], True)
  assert vocabulary == CharacterVocabulary("\nabé😀", separated=True)
  assert (vocabulary.size, separator_of(vocabulary)) == (6, 5)
  assert token_bytes_of(vocabulary).tolist() == [1, 1, 1, 2, 4, 0]
  assert vocabulary.encode("ba").tolist() == [2, 1]
  assert vocabulary.decode([5, 2, 5, 1, -1]) == "ba"


def test_without_a_separator_it_is_the_vocabulary_of_stored_runs():
  vocabulary = learned(["ba"], False)
  assert vocabulary == CharacterVocabulary("ab") == CharacterVocabulary.of("aba")
  assert (vocabulary.size, separator_of(vocabulary)) == (2, None)
  assert token_bytes_of(vocabulary).tolist() == [1, 1]


def test_half_of_a_surrogate_pair_is_a_character():
  vocabulary = learned(["a\ud800"], False)
  assert vocabulary.decode(vocabulary.encode("\ud800a")) == "\ud800a"


@pytest.mark.parametrize("documents", [[], ["", ""]])
def test_no_text_is_refused(documents):
  with pytest.raises(UserError, match="There is no text to take characters from"):
    learned(documents, True)


def test_an_unknown_character_is_refused():
  with pytest.raises(UserError, match="The character 'c' is not in this dataset's"):
    learned(["ab"], True).encode("abc")
