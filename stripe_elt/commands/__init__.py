"""The commands of `stripe-elt` without a script in `pipelines/`: `start`, `doctor`, `status`, `migrate`, …."""
