"""What does a proxy cost that does nothing but pass on, written with the same library?

    python tests/bench/bare.py PORT UPSTREAM

No key, no timer, no account: a request's body goes to UPSTREAM, a base URL, and the answer's bytes come back. Beside it
one sees what pillion's own work costs, and what is aiohttp's, uvloop's and this machine's.
"""

import asyncio
import sys

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web


async def serve(port: int, upstream: str) -> None:
    async with ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None)) as session:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            headers = {"content-type": request.content_type, "authorization": "Bearer sk-bench"}
            async with session.post(upstream + request.path, data=body, headers=headers) as answer:
                kept = {"content-type": answer.headers["content-type"]}
                if answer.content_type != "text/event-stream":
                    return web.Response(body=await answer.read(), status=answer.status, headers=kept)
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response

        app = web.Application()
        app.router.add_post("/{path:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
