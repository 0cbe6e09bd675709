"""SpeechBrain-style interfaces to a trained network, for files and batches."""
