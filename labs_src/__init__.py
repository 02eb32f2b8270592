"""Helpers for the interpretability workbook. Importing this package is instant: no room is entered yet."""

__version__ = "0.1.0"
