"""Contract of a tokenizer, and code that several tokenizers share."""
