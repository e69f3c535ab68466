"""distill: audited training data out of the run logs of LLM agents.

The package root holds the version and nothing else, so that importing any part of it stays cheap.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
