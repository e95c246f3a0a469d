"""The same as `python -m attention_lab.main`."""

from attention_lab.main import command

command()
