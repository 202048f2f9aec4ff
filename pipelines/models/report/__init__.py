"""The report on the metrics: its content, a screen of text, and a page with charts."""
