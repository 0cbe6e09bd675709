"""Live use: streams, changes of depth, policies, engines and export."""
