"""The words of reflection that 1-shot RLVR counts in responses (arXiv 2504.20571, Figure 4)."""

REFLECTION = ("rethink", "recheck", "recalculate")
