"""Sphinx settings: python -m sphinx -W docs build/docs."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The kernels of notebooks use this checkout, too.
os.environ["PYTHONPATH"] = str(DOCS.parent)
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import attention_lab  # noqa: E402

project = "attention_lab"
author = "The attention_lab authors"
version = release = attention_lab.__version__

extensions = [
  "myst_nb",
  "sphinx.ext.autodoc",
  "sphinx.ext.napoleon",
  "extensions.generate",
  "extensions.repository",
  "extensions.docstrings",
]
exclude_patterns = ["README.md", "extensions", "static"]
nitpicky = (
  False  # Types of other projects have no pages; links are checked in the HTML.
)

myst_heading_anchors = 4
nb_execution_mode = "auto"
nb_execution_timeout = 600  # Seconds per cell, on a machine that is busy.
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
default_role = "code"
smartquotes_action = "qe"  # Two hyphens begin a flag: they are no dash.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"attention_lab {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["table.js"]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
