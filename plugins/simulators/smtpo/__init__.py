"""The simulators of SMTPO: label-free, a language model with a trained decision on top."""
