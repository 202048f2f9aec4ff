"""Where settings come from: environment, `.env`, `.dlt`; and what they may be."""
