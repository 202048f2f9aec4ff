"""The report on the metrics: what it says, as a screen of text and as a page with charts."""
