"""For comparison: an empty FastAPI endpoint."""

from fastapi import FastAPI

app = FastAPI()


@app.post("/quote")
async def quote() -> dict[str, int]:
    return {}
