"""The entities, views and services that Feast registers. Run by path; nobody imports this."""
