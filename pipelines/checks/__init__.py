"""How `validate` asks the contract of a table: which checks, measured how, and what follows."""
