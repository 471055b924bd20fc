"""`smtpo-pl`: a Plackett-Luce policy over candidate features, the reference without a language model."""
