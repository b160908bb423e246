'use strict';

// What the page knows: the samples it got, and what they say of a time.  Rates
// are differences of counters by the server's clock.

const KEPT = 3900;              // samples: a little more than an hour
const POINTS = 150;             // of a chart
const SMOOTH = 5;               // seconds that a rate covers at least
const BACKLOG = 10;             // seconds that a record may be in the spool
const RECORD = 512;             // bytes: most have fewer
const MINUTE = 60;

const samples = [];
const losses = [];              // [from, to] by the server's clock
const resets = [];
const opened = performance.now();
let lost = null;                // why there is no answer
let paused = null;
let since = {};                 // when the database went, the spool began
let number = 0;

const latest = () => samples.at(-1);

// The server's time, now

function now() {
    const last = latest();

    return last ? last.time + (performance.now() - last.received) / 1000 : 0;
}

function counters(sample) {
    return [...Object.values(sample.outcomes), sample.claims, sample.confirms,
            sample.cache.hits, sample.cache.misses, sample.cache.stale,
            sample.batches.count, sample.database.errors];
}

// A histogram's last count is of all there was, as that of le="+Inf".

function complete({ count: all, size: sizes, commit: times }) {
    sizes.count.push(all);
    times.count.push(all);
}

function began(last, sample) {
    const old = counters(last);

    return sample.started !== last.started
        || counters(sample).some((n, i) => n < old[i]);
}

function take(data) {
    const last = latest();
    const sample = { ...data, received: performance.now(), number: number++ };

    counters(sample);
    complete(sample.batches);
    sample.broken = !last;

    if (last && lost) {
        losses.push([last.time, sample.time]);
        happened(sample.time, 'good', 'nginx answers again, after '
                 + duration(sample.time - last.time));
        sample.broken = true;
    }

    if (last && began(last, sample)) {
        resets.push(sample.time);
        happened(sample.time, 'warn', 'The counters began anew');
        sample.broken = true;
    }

    lost = null;
    samples.push(sample);
    samples.splice(0, samples.length - KEPT);
    notice(last, sample);
    render();
}

function lose(error) {
    if (!lost) {
        lost = {};

        if (latest()) {
            happened(now(), 'bad', `No answer from nginx: ${reason(error)}`);
        }
    }

    lost.why = reason(error);
    render();
}


function reason(error) {
    return { TimeoutError: `nothing in ${duration(TIMEOUT / 1000)}`,
             TypeError: 'no connection',
             SyntaxError: 'not JSON' }[error.name] || error.message;
}


// A span of the last seconds, for the headline

function recent(length) {
    const b = latest();
    let a = b;

    for (let i = samples.length - 1; i > 0 && !samples[i].broken; i--) {
        a = samples[i - 1];

        if (b.time - a.time >= length) {
            break;
        }
    }

    return { early: a === b ? null : a, b };
}

// The spans of a chart, at most POINTS

function view(length) {
    const to = now();
    const from = to - length;
    const step = Math.max(1, Math.ceil(length * 1000 / INTERVAL / POINTS));
    const spans = [];
    const first = samples.findIndex((s) => s.time >= from);
    const start = Math.max(0, first - step - SMOOTH);
    let a = null;
    let between = [];

    for (const b of samples.slice(start)) {
        if (b.broken) {
            a = null;
        }

        between.push(b);

        if (b.broken || b.number % step === 0 || b === latest()) {
            spans.push({ b, between, early: a && before(b, a) });
            a = b;
            between = [];
        }
    }

    return { from, to, each: Math.max(SMOOTH, step * INTERVAL / 1000),
             spans: spans.filter(({ b }) => b.time >= from),
             lost: lost && latest() ? [...losses, [latest().time, to]] : losses,
             resets: resets.filter((time) => time > from) };
}

// The sample SMOOTH seconds before b, or a if that is earlier

function before(b, a) {
    let early = a;

    for (let i = a.number - samples[0].number; i > 0 && !samples[i].broken
         && b.time - early.time < SMOOTH; i--) {
        early = samples[i - 1];
    }

    return early;
}


// What is drawn of a span, which is the samples "between" two points of a chart
// and ends with b; "early" is SMOOTH seconds before b, or where the span
// begins.

const rate = (value) => ({ early, b }) =>
    early && (value(b) - value(early)) / (b.time - early.time);

const level = (value) => ({ b }) => value(b) ?? null;

const peak = (value) => ({ between }) =>
    Math.max(...between.map((sample) => value(sample) ?? 0));

const quantile = (value, share) => ({ early, b }) =>
    early && quantileOf(value(early), value(b), share);

const mean = (value) => ({ early, b }) => {
    const [from, to] = [early && value(early), value(b)];
    const n = early ? total(to) - total(from) : 0;

    return n > 0 ? (to.sum - from.sum) / n : null;
};

const total = (histogram) => histogram.count.at(-1) ?? 0;

// By linear interpolation within a bucket, as Prometheus does it.

function quantileOf(from, to, share) {
    const counts = to.count.map((n, i) => n - from.count[i]);
    const wanted = counts.at(-1) * share;

    if (!(counts.at(-1) > 0)) {
        return null;
    }

    const i = counts.findIndex((n) => n >= wanted);
    const top = to.le[i] ?? to.le.at(-1);
    const low = i > 0 ? to.le[i - 1] : 0;
    const below = i > 0 ? counts[i - 1] : 0;

    return i >= to.le.length ? top
        : low + (top - low) * (wanted - below) / (counts[i] - below);
}
