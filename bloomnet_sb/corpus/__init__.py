"""Whole corpora: lists and shards of recordings, enhanced on one machine or many, and reports."""
