"""Layers, norms and losses."""
