"""A page to listen to every depth of networks, in one HTML file."""
