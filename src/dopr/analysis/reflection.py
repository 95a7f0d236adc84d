"""Words of reflection, as 1-shot RLVR counts them in responses (arXiv 2504.20571, Figure 4)."""

REFLECTION = ("rethink", "recheck", "recalculate")
