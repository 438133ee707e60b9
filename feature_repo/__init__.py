"""The entities, views and services that Feast registers. Never imported: it is run by path."""
