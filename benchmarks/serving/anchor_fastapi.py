"""An anchor: an endpoint of FastAPI that does nothing."""

from fastapi import FastAPI

app = FastAPI()


@app.post("/quote")
async def quote() -> dict[str, int]:
    return {}
