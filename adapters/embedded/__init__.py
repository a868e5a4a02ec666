"""Classifiers that come with robcheck, as ONNX files, and the script that trains them."""
