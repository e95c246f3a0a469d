"""Packaging: the base install is requirements.txt, everything else is an extra."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
requirements = [
  line.strip()
  for line in (here / "requirements.txt").read_text().splitlines()
  if line.strip() and not line.startswith("#")
]
version = re.search(
  r'__version__ = "(.+)"', (here / "attention_lab" / "__init__.py").read_text()
)
assert version

setup(
  name="attention_lab",
  version=version.group(1),
  description="One file to write an attention, one command to an answer.",
  long_description=(here / "README.md").read_text(),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  license_files=["LICENSE"],
  packages=find_packages(include=["attention_lab", "attention_lab.*"]),
  package_data={
    "attention_lab": [
      "py.typed",
      "catalogue/attention_costs.json",
      *(f"compare/report/page.{e}" for e in ("html.j2", "css", "js")),
    ]
  },
  python_requires=">=3.11",
  install_requires=requirements,
  extras_require={
    "equinox": ["equinox>=0.13.2"],
    "flax": ["flax>=0.12.6"],
    "wandb": ["wandb>=0.22"],
    "plot": ["matplotlib>=3.9"],
    "translate": ["sentencepiece>=0.2.1", "sacrebleu>=2.4"],
    "text": ["pyarrow>=18", "zstandard>=0.23"],
    "tokenizers": ["sentencepiece>=0.2.1", "tokenizers>=0.21", "tiktoken>=0.9"],
    "compare": ["scipy>=1.15", "jinja2>=3.1", "matplotlib>=3.9", "submitit>=1.5"],
    "pandas": ["pandas>=2.2"],
    "digits": ["scikit-learn>=1.5"],
    "export": ["safetensors>=0.5"],
    "harness": ["lm_eval>=0.4.9"],
    "browser": ["playwright>=1.49"],
    "test": [
      "pytest>=8",
      "pytest-xdist>=3.6",
      "hypothesis>=6.100",
      "setuptools>=77",
      "equinox>=0.13.2",
      "flax>=0.12.6",
      "matplotlib>=3.9",
      "sentencepiece>=0.2.1",
      "tokenizers>=0.21",
      "pyarrow>=18",
      "zstandard>=0.23",
      "tiktoken>=0.9",
      "sacrebleu>=2.4",
      "scikit-learn>=1.5",
      "scipy>=1.15",
      "jinja2>=3.1",
      "submitit>=1.5",
      "safetensors>=0.5",
    ],
    "docs": [
      "sphinx>=8.1",
      "myst-nb>=1.3",
      "furo>=2024.8",
      "ipykernel>=6.29",
      "equinox>=0.13.2",
      "flax>=0.12.6",
      "scipy>=1.15",
      "jinja2>=3.1",
      "matplotlib>=3.9",
      "submitit>=1.5",
    ],
    "dev": ["ruff==0.17.6", "mypy==2.4.1", "pre-commit>=4"],
    "gpu": ["jax[cuda13]"],
  },
  entry_points={"console_scripts": ["attention_lab = attention_lab.main:command"]},
)
