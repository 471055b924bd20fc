"""Training of `smtpo-pl`, the policy without a language model."""
