"""The training set: its folders and captions, what the check reports of them, the buckets, and mended copies."""
