"""What Feast knows of the feature files: entities, views and services. Nobody imports this."""
