"""Finding: from a picture and product classes to detections with masks. One file for each backend."""
