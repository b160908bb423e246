// gRPC over Node's own HTTP/2, which is all that gRPC is: a POST, messages with
// their length before them, and the status in a trailer.
//
//   grpc.js serve PORT
//   grpc.js call PORT PATH HEADERS MESSAGE ...
//
// The service answers each message in capital letters as it comes; the metadata
// "session" is the user, and the method's name may be a failure.  The client
// sends a message when the one before has been answered, and prints a JSON
// object of what it got.

'use strict';

const http2 = require('http2');

const [what, port, ...rest] = process.argv.slice(2);


function encode(text) {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(Buffer.byteLength(text), 1);
    return Buffer.concat([head, Buffer.from(text)]);
}


// Calls back for each whole message

function decoder(each) {
    let bytes = Buffer.alloc(0);

    return chunk => {
        bytes = Buffer.concat([bytes, chunk]);

        while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
            const end = 5 + bytes.readUInt32BE(1);
            each(bytes.subarray(5, end).toString());
            bytes = bytes.subarray(end);
        }
    };
}


function serve() {
    const server = http2.createServer();

    server.on('stream', (stream, headers) => {
        const answer = { ':status': 200, 'content-type': 'application/grpc' };

        if (headers.session) {
            answer['x-hype-user'] = headers.session;
        }

        stream.on('error', () => {});

        // "Trailers-Only": a call that fails before there is a message

        if (headers[':path'].endsWith('/Fails')) {
            stream.respond({ ...answer, 'grpc-status': 7,
                             'grpc-message': 'no' }, { endStream: true });
            return;
        }

        stream.respond(answer, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers(
            { 'grpc-status': '0', 'x-path': headers[':path'] }));
        stream.on('data', decoder(
            text => stream.write(encode(text.toUpperCase()))));
        stream.on('end', () => stream.end());
    });

    server.listen(port, '127.0.0.1');
}


function call() {
    const [path, headers, ...messages] = rest;
    const session = http2.connect(`http://127.0.0.1:${port}`);
    const got = { messages: [] };

    const stream = session.request({
        ':method': 'POST', ':path': path, te: 'trailers',
        'content-type': 'application/grpc', ...JSON.parse(headers),
    });

    const next = () => messages.length ? stream.write(encode(messages.shift()))
                                       : stream.end();

    const end = error => {
        got.error = error?.message;
        console.log(JSON.stringify(got));
        process.exit(0);
    };

    setTimeout(() => end(new Error('timed out')), 20000);
    session.on('error', end);
    stream.on('error', end);
    stream.on('response', answer => { got.headers = answer; });
    stream.on('trailers', trailers => { got.trailers = trailers; });
    stream.on('data', decoder(text => { got.messages.push(text); next(); }));
    stream.on('close', () => end());
    next();
}


what === 'serve' ? serve() : call();
