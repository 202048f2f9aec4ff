"""What fills an account: a business with a history, bulk objects for benchmarks, and changes that go on."""
