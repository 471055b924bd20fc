"""Multi-turn reinforcement learning: rewards, credit, rollouts, the policy-gradient step."""
