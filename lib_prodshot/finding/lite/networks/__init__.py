"""The lite finder's networks and the onnxruntime session that runs each."""
