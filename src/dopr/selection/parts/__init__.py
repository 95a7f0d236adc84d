"""Building blocks shared by several selectors. The modules here are not selectors."""
