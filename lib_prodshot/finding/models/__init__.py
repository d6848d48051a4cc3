"""What every torch implementation shares: loading and running, captions, preprocessing, detector and segmenter."""
