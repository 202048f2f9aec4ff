"""The command `stripe-elt`, which starts everything else: `stripe-elt full`, `sync`, `sink`, `start`, `doctor`, …."""
