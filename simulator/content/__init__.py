"""The content of an account: a business with a history, bulk objects for benchmarks, and further changes."""
