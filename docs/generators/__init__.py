"""What `generate_reference.py` writes, a module for each file or family of pages."""
