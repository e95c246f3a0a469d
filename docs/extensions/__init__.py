"""Extensions of Sphinx that build this site, and a check of its links."""
