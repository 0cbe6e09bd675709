"""A page that enhances a microphone in the browser, at a depth that its visitor sets."""
