"""What is generated from the installed SDK. No run imports it."""
