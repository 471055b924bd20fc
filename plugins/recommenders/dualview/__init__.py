"""The dual-view retriever: a text view and a collaborative view of dialogue and items, fused by gated cross-attention.

features.py       a conversation or an item -> tokens, contexts and signed mentions (no tensors)
vocabulary.py     which tokens have a learned vector
collaborative.py  item vectors from training dialogues: EASE or LightGCN
model.py          the two views and their fusion (torch)
losses.py         InfoNCE with a false-negative mask, alignment
files.py          the artefact's files
retriever.py      `Retriever`: load, recall
recommender.py    the recommender `smtpo-retriever`
"""

KIND = "smtpo-retriever"
"""Of the artefact. Here, so that it is known without torch."""
