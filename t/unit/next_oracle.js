// Compares what the module takes for a safe "next" with the URL parser of
// Node, which is the one that browsers have to have (WHATWG URL Standard).
//
//   node next_oracle.js path/to/next_filter [seed]
//
// Prints TAP.  Whatever the module calls safe has to end up on the site, or by
// http or https on a listed host: as it is, once it is normalised, and if it is
// a path however many times that is percent-decoded.

'use strict';

const { spawnSync } = require('node:child_process');

const [filter, seed = '1'] = process.argv.slice(2);

const bases = ['http://site.example/ref/abc/', 'https://site.example:8443/r'];
const hosts = ['good.example', '.wild.example', 'ported.example:8443', '[::1]'];

const batch = 200000;
let tests = 0;


function listed(url) {
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    const host = url.hostname;

    return host === 'good.example'
        || host === 'wild.example'
        || host.endsWith('.wild.example')
        || (host === 'ported.example' && port === '8443')
        || host === '[::1]';
}


function resolve(location, base) {
    try {
        return new URL(location, base);
    } catch {
        // a browser goes nowhere
        return null;
    }
}


// Where "location" leads to is as good as a place on the site.

function stays(location, base) {
    const url = resolve(location, base);

    return url === null || url.origin === new URL(base).origin;
}


function decode(bytes) {
    return bytes.replace(/%([0-9a-f]{2})/gi,
                         (_, hex) => String.fromCharCode(parseInt(hex, 16)));
}


// What is wrong about "value", a string with a character a byte, or "".

function fault(value) {

    if (/[\x00-\x1f\x7f]/.test(value) || /^\s/.test(value)) {
        return 'no header value';
    }

    const path = value[0] === '/';
    const texts = [value];

    if (/[\x80-\xff]/.test(value)) {
        texts.push(Buffer.from(value, 'latin1').toString('utf8'));
    }

    for (const text of texts) {
        for (const base of bases) {
            const url = resolve(text, base);

            if (url === null) {
                continue;
            }

            if (url.protocol !== 'http:' && url.protocol !== 'https:') {
                return `protocol ${url.protocol}`;
            }

            if (url.username || url.password) {
                return 'credentials';
            }

            if (path ? !stays(text, base) : !listed(url)) {
                return `host ${url.host}`;
            }
        }
    }

    return path ? path_fault(value) : '';
}


function path_fault(value) {
    const base = bases[0];
    let path = value.replace(/[?#].*$/s, '');

    for (let times = 0; times < 6; times++) {

        // by a browser, by one that knows no "\" and no "%2e", without either

        for (const form of [resolve(path, base)?.pathname ?? '/', dots(path),
                            path]) {

            if (!stays(form, base)) {
                return `${JSON.stringify(form)}, decoded ${times} times`;
            }
        }

        const decoded = decode(path);

        if (decoded === path) {
            break;
        }

        path = decoded;
    }

    return '';
}


// RFC 3986, 5.2.4

function dots(path) {
    const out = [];
    const parts = path.split('/').slice(1);

    parts.forEach((part, i) => {
        if (part === '..') {
            out.pop();
        }

        if (part !== '.' && part !== '..') {
            out.push(part);

        } else if (i === parts.length - 1) {
            out.push('');
        }
    });

    return '/' + out.join('/');
}


function safe(values) {
    const parts = [];

    for (const value of values) {
        const bytes = Buffer.from(value, 'latin1');
        const length = Buffer.alloc(4);
        length.writeUInt32BE(bytes.length);
        parts.push(length, bytes);
    }

    const run = spawnSync(filter, hosts, {
        input: Buffer.concat(parts),
        maxBuffer: 1 << 24,
    });

    const answers = run.stdout?.toString() ?? '';

    if (run.status !== 0 || answers.length !== values.length) {
        console.log(`Bail out! ${filter} failed: ${run.error ?? run.stderr}`);
        process.exit(1);
    }

    return values.filter((_, i) => answers[i] === '1');
}


// Puts all strings of up to "length" tokens behind each prefix.

function* strings(prefixes, tokens, length) {
    for (const prefix of prefixes) {
        yield prefix;

        if (length) {
            yield* strings(tokens.map(token => prefix + token), tokens,
                           length - 1);
        }
    }
}


// The same ones for the same seed (mulberry32).

function random(state) {
    return limit => {
        state = state + 0x6d2b79f5 | 0;
        let t = Math.imul(state ^ state >>> 15, 1 | state);
        t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
        return ((t ^ t >>> 14) >>> 0) % limit;
    };
}


function* mutants(seeds, tokens, count) {
    const below = random(Number(seed));
    const pick = list => list[below(list.length)];

    for (let i = 0; i < count; i++) {
        let value = pick(seeds);

        for (let n = below(4); n >= 0; n--) {
            const at = below(value.length + 1);
            const cut = below(3) ? 0 : 1 + below(3);
            const put = below(4) ? pick(tokens) : String.fromCharCode(below(256));

            value = value.slice(0, at) + put + value.slice(at + cut);
        }

        yield value;
    }
}


function report(good, name, lines = []) {
    console.log(`${good ? 'ok' : 'not ok'} ${++tests} - ${name}`);
    lines.forEach(line => console.log(`# ${line}`));
}


function compare(name, values) {
    const faults = [];
    let all = 0;
    let passed = 0;
    let some = [];

    const judge = () => {
        const kept = safe(some);

        all += some.length;
        passed += kept.length;
        some = [];

        for (const value of kept) {
            const wrong = fault(value);

            if (wrong) {
                faults.push(`${JSON.stringify(value)}: ${wrong}`);
            }
        }
    };

    for (const value of values) {
        some.push(value);

        if (some.length === batch) {
            judge();
        }
    }

    judge();

    report(faults.length === 0, `${name}: what is safe stays`,
           faults.slice(0, 20));
    report(passed > 0 && passed < all, `${name}: ${passed} of ${all} are safe`);
}


const evil = [
    '//evil.example', '/\\evil.example', '/.//evil.example',
    '/a/..//evil.example', '/%2fevil.example', '/%252fevil.example',
    '/%2e/%5cevil.example', '/\t/evil.example', 'http:evil.example',
    'https://good.example@evil.example/', 'https://x:y@good.example/', 'javascript:alert(1)', ' /', '/\r\nX: y',
    'https://ported.example/',
];

report(evil.every(fault), 'the oracle knows evil',
       evil.filter(value => !fault(value)));

const fine = [
    '/', '/a/b?x=//y&z=%2F%2Fw#f', '/a//b', '/search?q=\\', '/caf\xc3\xa9',
    'https://good.example/x', 'http://a.wild.example:81', 'HTTP://[::1]/',
    'https://ported.example:8443#x',
];

report(fine.every(value => !fault(value)), 'the oracle knows what is fine',
       fine.filter(fault));

report(safe(fine).length === fine.length, 'so does the module');
report(safe(evil).length === 0, 'the module knows evil');

compare('short paths', strings(
    ['/'],
    ['/', '\\', '.', '..', 'a', '%2f', '%5C', '%2e', '%25', '2f', '\t', '?'],
    5));

compare('any short string', strings(
    [''],
    ['/', '\\', '.', ':', '@', '?', '#', '%', '2', 'f', '\n', ' ', 'h', '\xa0'],
    5));

compare('short absolute URLs', strings(
    ['http:', 'https:', 'hTTp:/', 'http:/', 'https://', 'http://', 'ht\ttp://',
     '//', '/\\', '/', 'ws://', ' http://'],
    ['/', '\\', 'good.example', 'evil.example', '@', ':', '.', '8443', '?', '#',
     '%2e', '\xad', 'a.wild.example', 'ported.example', '[::1]', '[', ']'],
    4));

compare('mutants', mutants(
    evil.concat(fine),
    ['/', '\\', '.', '..', '%2f', '%5c', '%2e', '%252f', '%25', '%', '@', ':',
     '?', '#', '//', '\\\\', '/.', '/..', '\t', ' ', 'http:', 'good.example',
     'evil.example', '.wild.example', ':8443', '\u00e3\u0080\u0082', '%00'],
    400000));

console.log(`1..${tests}`);
