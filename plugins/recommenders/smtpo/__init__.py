"""The recommender `smtpo`: retrieved candidates, a reasoning language model, a ranked list."""
