"""Builds what a board loads: one file for each set of features, from the same source that runs on CPython.

python -m tools.bundle SET -o FOLDER
"""

from .building import Bundle, build
from .program import BundleError
from .sets import SETS

__all__ = ["SETS", "Bundle", "BundleError", "build"]
