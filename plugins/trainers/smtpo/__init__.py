"""Training of SMTPO, stage by stage."""
