"""ONNX graph to torch module."""
