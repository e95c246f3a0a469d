"""Tokenizers: one file each, as in --dataset="text(path='notes.txt', tokenizer='name')"."""
