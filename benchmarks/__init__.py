"""Benchmarks whose figures anyone can reproduce: run `make bench`, or a single module."""
