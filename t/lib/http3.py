"""A client of HTTP/3 that does as it is told (Hype::HTTP3), a JSON array a line:
the name of a function below, and its arguments.  Answers with a line of JSON.

    http3.py PORT
"""

import asyncio
import json
import socket
import ssl
import sys

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (ConnectionTerminated, HandshakeCompleted,
                                 StreamReset)

address = ('127.0.0.1', int(sys.argv[1]))


class Http(H3Connection):

    def _check_content_length(self, stream):
        """An answer to HEAD may have a length, and no body (RFC 9110, 8.6)."""


class Client(QuicConnectionProtocol):

    def __init__(self, quic):
        super().__init__(quic)
        self.http = Http(quic)
        self.answers = {}
        self.ended = set()
        self.happened = asyncio.Event()
        self.connected = False
        self.early = False
        self.error = None

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.connected = True
            self.early = event.early_data_accepted
        elif isinstance(event, ConnectionTerminated):
            self.error = event.reason_phrase or f'closed: {event.error_code}'
        elif isinstance(event, StreamReset):
            self.ended.add(event.stream_id)

        for e in self.http.handle_event(event):
            if isinstance(e, HeadersReceived):
                self.answers[e.stream_id] = {'body': '', 'head': [
                    [k.decode('latin-1'), v.decode('latin-1')]
                    for k, v in e.headers]}
            elif isinstance(e, DataReceived):
                self.answers[e.stream_id]['body'] += e.data.decode('latin-1')

            if getattr(e, 'stream_ended', False):
                self.ended.add(e.stream_id)

        self.happened.set()

    async def until(self, done, seconds):
        """Whether it was so before that many seconds were over."""

        end = self._loop.time() + seconds

        while not done():
            self.happened.clear()
            left = end - self._loop.time()

            if left <= 0 or self.error:
                return done()

            try:
                await asyncio.wait_for(self.happened.wait(), left)
            except asyncio.TimeoutError:
                pass

        return True

    def send(self, requests):
        streams = []

        for method, path, headers, body in requests:
            stream = self._quic.get_next_available_stream_id()
            streams.append(stream)
            self.http.send_headers(stream, [
                (b':method', method.encode()), (b':scheme', b'https'),
                (b':authority', b'localhost'),
                (b':path', path.encode('latin-1')),
                *((k.lower().encode(), v.encode('latin-1')) for k, v in headers),
            ], end_stream=body is None)

            if body is not None:
                self.http.send_data(stream, body.encode('latin-1'), True)

        return streams


class Player:

    def __init__(self):
        self.client = None
        self.streams = []
        self.ticket = None
        self.early = []

    async def connect(self, early=None):
        """A new connection, with requests in its first flight if given."""

        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=H3_ALPN, server_name='localhost',
            verify_mode=ssl.CERT_NONE,
            session_ticket=self.ticket if early else None)
        quic = QuicConnection(configuration=configuration,
                              session_ticket_handler=self.keep)
        loop = asyncio.get_running_loop()
        transport, self.client = await loop.create_datagram_endpoint(
            lambda: Client(quic), local_addr=('127.0.0.1', 0))

        if early:
            self.early = []
            sendto = transport.sendto
            transport.sendto = lambda data, to: (self.early.append(data),
                                                 sendto(data, to))
            self.client.connect(address, transmit=False)
            self.streams = self.client.send(early)
            self.client.transmit()
            transport.sendto = sendto
        else:
            self.client.connect(address)

        await self.client.until(lambda: self.client.connected, 10)
        return {'connected': self.client.connected, 'early': self.client.early,
                'error': self.client.error}

    def keep(self, ticket):
        self.ticket = ticket

    async def has_ticket(self):
        return await self.client.until(lambda: self.ticket is not None, 5)

    async def replay(self):
        """Sends the first flight again, from elsewhere."""

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for data in self.early:
                other.sendto(data, address)
        return len(self.early)

    async def send(self, requests):
        self.streams = self.client.send(requests)
        self.client.transmit()
        return len(self.streams)

    async def answers(self, seconds):
        """Of the requests that were sent last, as far as they came."""

        client = self.client
        await client.until(lambda: client.ended.issuperset(self.streams), seconds)
        return [{**client.answers.get(s, {'head': [], 'body': ''}),
                 'ended': s in client.ended, 'error': client.error}
                for s in self.streams]

    async def cancel(self):
        """RFC 9114, 4.1.1: no longer interested."""

        for stream in self.streams:
            self.client._quic.stop_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
        self.client.transmit()
        return len(self.streams)

    async def closed(self, seconds):
        """Waits until nginx closes the connection."""

        await self.client.until(lambda: self.client.error is not None, seconds)
        return self.client.error

    async def close(self):
        self.client.close()
        return 1

    async def vanish(self):
        """As one whose machine is off: not a word."""

        self.client._transport.abort()
        return 1


async def main():
    player = Player()
    loop = asyncio.get_running_loop()

    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, *arguments = json.loads(line)
        print(json.dumps(await getattr(player, name)(*arguments)), flush=True)


asyncio.run(main())
