"""Where things are; a test sets both before anything is written."""

models_path = ""
data_path = ""
