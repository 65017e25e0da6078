"""Typed fields, records and entities from a row's text."""
