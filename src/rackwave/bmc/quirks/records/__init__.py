"""The records that ship: one file for each family of makes."""
