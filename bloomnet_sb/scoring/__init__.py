"""Scores of every depth, what each costs, and tables of both."""
