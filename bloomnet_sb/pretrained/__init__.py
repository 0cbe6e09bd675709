"""Finding, loading, saving and converting networks; the networks that ship."""
