"""Where attacks run: device, chunks, counting, progress."""
