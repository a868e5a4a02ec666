"""The file itself: looked at before anything runs, probed in a child process, run by onnxruntime."""
