"""Floating-point operators of the domain com.microsoft, which onnxruntime's optimisers write into a file."""
