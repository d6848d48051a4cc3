"""The LangSAM finder: GroundingDINO and Segment Anything, by whichever implementation runs here."""
