"""What several selectors are made of; no selectors themselves."""
