"""The reference pages of docs, made from the tables of the code."""
