#!/usr/bin/env python3
"""A web server (python3-aiohttp) that hands its work over to other processes, so that no request waits for another's: POST /score
has its body scored, by `score` below, and a request whose client goes away is ended where it runs.

    python3 apps/examples/web.py [PORT]        port 0, or none: a free one, which it prints
"""
import asyncio
import hashlib
import sys

import ropewalk
from aiohttp import web


def score(body: bytes) -> str:
    return hashlib.pbkdf2_hmac("sha256", body, b"", 10_000).hex()


async def post(request: web.Request) -> web.Response:
    body = await request.read()
    pool = request.app["pool"].options(timeout=5)
    try:
        result = await asyncio.wrap_future(pool.submit(score, body))
    except ropewalk.Timeout:
        raise web.HTTPGatewayTimeout from None
    return web.json_response({"score": result})


async def main(port: int) -> None:
    app = web.Application()
    with ropewalk.Executor(2) as app["pool"]:
        app.add_routes([web.post("/score", post)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print("listening on port", runner.addresses[0][1], flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    except KeyboardInterrupt:
        pass
