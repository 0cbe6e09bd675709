"""Errors, files, processes and sound files: what every other room stands on."""
