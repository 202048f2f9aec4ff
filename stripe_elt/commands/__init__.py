"""The commands of `stripe-elt` that no script in `pipelines/` is: `start`, `doctor`, `status`, `migrate`, …."""
