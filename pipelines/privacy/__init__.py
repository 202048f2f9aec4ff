"""People whose data must not be kept: what is forgotten of them, and how it is kept out from then on."""
