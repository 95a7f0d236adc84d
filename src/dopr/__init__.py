"""dopr: rollout-efficient reinforcement learning with verifiable rewards, from prompt pool to figures."""

__version__ = "0.1.0"
