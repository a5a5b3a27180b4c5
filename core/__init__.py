"""The conversation memory and everything that deploys, keeps and proves it."""

__version__ = "0.1.0"
