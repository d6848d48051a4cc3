"""What happens to a picture, one step a file; `registry.STEPS` is their order."""
