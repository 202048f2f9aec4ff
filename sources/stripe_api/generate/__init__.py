"""Generators that read the installed SDK. No run imports them."""
