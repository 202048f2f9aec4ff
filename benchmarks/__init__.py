"""Figures that anyone can print again: `make bench`, or each module by itself."""
