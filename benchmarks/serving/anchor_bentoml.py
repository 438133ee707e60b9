"""An anchor: an endpoint of BentoML that does nothing, as shipped."""

import bentoml


@bentoml.service
class Empty:
    @bentoml.api(route="/quote")  # type: ignore[untyped-decorator]
    async def quote(self) -> dict[str, int]:
        return {}
