"""Jobs over many pictures: the report, the contact sheet, files that appear whole or not at all."""
