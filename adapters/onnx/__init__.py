"""ONNX files in: a deployed forward in onnxruntime and a differentiable twin in torch."""

from .classifier import OnnxClassifier
from .load import load_onnx

__all__ = ["OnnxClassifier", "load_onnx"]
