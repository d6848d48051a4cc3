"""Gates: whether a product is still the same product after its picture was changed."""
