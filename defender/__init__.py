"""defender finds the system prompt that makes a deployed assistant treat every user the same.

The package is a house with floors; imports run downward only (CONTRIBUTING.md has the map). Nothing is imported
here, so that ``import defender`` costs nothing: import the module that owns what you need.
"""

__version__ = "0.1.0"
