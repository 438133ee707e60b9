"""For comparison: an empty BentoML endpoint with default settings."""

import bentoml


@bentoml.service
class Empty:
    @bentoml.api(route="/quote")  # type: ignore[untyped-decorator]
    async def quote(self) -> dict[str, int]:
        return {}
