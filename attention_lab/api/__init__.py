"""Functions of the library's API that modes have, too."""
