"""What marketplaces ask of a picture: their rules as data, and a checker that measures a written file against them."""
