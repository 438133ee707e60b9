"""The vocabulary of pricing and its pure decisions. Imports no framework."""
