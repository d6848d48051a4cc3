"""Masks for the loss: which pixels of a photograph a LoRA learns from."""
