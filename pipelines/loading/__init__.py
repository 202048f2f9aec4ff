"""Packages of tables, loads with saved progress, and the run over them."""
