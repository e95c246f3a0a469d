"""Files that a run keeps of a text, so that it can be sampled from without its data."""

VOCABULARY_SIZE = "vocabulary_size.txt"  # The number of tokens, if they are numbers.
PROMPT = "prompt.txt"  # The default prompt.
MARK = "\ufeff"  # The byte-order mark that some programs begin a text with.
