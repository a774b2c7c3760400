"""Models: build them from configs, compile them, and run them on several views."""
