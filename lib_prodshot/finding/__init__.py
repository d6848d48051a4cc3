"""Product detection and segmentation: a picture and product classes in, detections with masks out."""
