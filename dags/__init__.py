"""Airflow DAGs: refresh and retrain. A task calls the function of one stage."""
