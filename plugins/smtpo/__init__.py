"""What SMTPO's simulator, recommender and trainer share: how prompts write items and dialogues, and the tiny language model.

SMTPO: Xiang, Pan and Wei, "User Simulator-Guided Multi-Turn Preference Optimization for Reasoning LLM-based Conversational
Recommendation", arXiv 2604.03671. The paper's equations, prompts and hyper-parameters are not public: what follows no
published source is this project's choice and can be configured.
"""
