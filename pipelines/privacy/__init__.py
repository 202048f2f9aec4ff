"""Erases the data of persons (`stripe-elt forget`), and records them so that later runs do not store it again."""
