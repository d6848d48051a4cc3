"""The packshot: a product cut out of its picture, put into a frame, on a new ground, with a shadow."""
