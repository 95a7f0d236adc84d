"""Figures. They are written to files, so the backend is Agg: notebooks leave one of their own in the environment."""

import os

os.environ["MPLBACKEND"] = "agg"  # before matplotlib is imported, which reads it
