'use strict';

// The status page: asks "?json" once a second, keeps what it got, and draws it.
// Rates are differences of the counters by the server's clock.  What comes from
// the server is shown by textContent only: identifiers and labels are anyone's.

(() => {

const INTERVAL = 1000;
const TIMEOUT = 5000;
const REPORT_INTERVAL = 15000;
const KEPT = 3900;              // samples: a little more than an hour
const POINTS = 150;             // of a chart
const SMOOTH = 5;               // seconds that a rate covers at least
const BACKLOG = 10;             // seconds after which a spool is one
const MINUTE = 60;


// How values are written

const format = (digits) => new Intl.NumberFormat('en', {
    minimumFractionDigits: digits, maximumFractionDigits: digits,
}).format;

const digits = [0, 1, 2].map(format);
const count = digits[0];

const plain = (value) =>
    Number.isInteger(value) || Math.abs(value) >= 100
        ? count(value) : digits[1](value);

function rated(value) {
    if (value > 0 && value < 0.1) {
        return digits[2](value);
    }

    return value === 0 || value >= 100 ? count(value) : digits[1](value);
}

function bytes(value) {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let i = 0;

    for (; Math.abs(value) >= 1024 && i < units.length - 1; i++) {
        value /= 1024;
    }

    return `${i && value < 100 ? plain(value) : count(value)} ${units[i]}`;
}

function seconds(value) {
    if (value < 1) {
        const ms = value * 1000;
        const n = ms === 0 || ms >= 10 ? 0 : ms >= 1 ? 1 : 2;

        return `${digits[n](ms)} ms`;
    }

    return `${value < 10 ? digits[1](value) : count(value)} s`;
}

function duration(value) {
    const s = Math.max(0, Math.round(value));
    const units = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
    const i = units.findIndex(([, size]) => s >= size);

    if (i < 0 || units[i][0] === 's') {
        return `${s} s`;
    }

    const [[name, size], [next, part]] = units.slice(i, i + 2);
    const rest = Math.floor(s % size / part);

    return `${Math.floor(s / size)} ${name}` + (rest ? ` ${rest} ${next}` : '');
}

const percent = (value) => `${digits[1](value * 100)} %`;

const times = (options) => {
    const written = new Intl.DateTimeFormat('en-GB', options);

    return (time) => written.format(time * 1000);
};

const clock = times({ hour: '2-digit', minute: '2-digit',
                      second: '2-digit' });
const minutes = times({ hour: '2-digit', minute: '2-digit' });
const moment = times({ day: 'numeric', month: 'short', year: 'numeric',
                       hour: '2-digit', minute: '2-digit' });
const day = times({ day: 'numeric', month: 'short', timeZone: 'UTC' });
const weekday = times({ weekday: 'short', day: 'numeric', month: 'short',
                        timeZone: 'UTC' });


// The document

const get = (id) => document.getElementById(id);

function add(parent, name, attributes = {}, text) {
    const node = parent.namespaceURI === SVG || name === 'svg'
        ? document.createElementNS(SVG, name) : document.createElement(name);

    for (const [key, value] of Object.entries(attributes)) {
        node.setAttribute(key, value);
    }

    if (text !== undefined) {
        node.textContent = text;
    }

    return parent.appendChild(node);
}

const SVG = 'http://www.w3.org/2000/svg';

function put(id, text) {
    const node = get(id);

    if (node.textContent !== text) {
        node.textContent = text;
    }
}

function mark(id, state) {
    get(id).dataset.state = state;
}

// A row for each item: the rows that are there are used again.

function rows(parent, items, make, fill) {
    while (parent.children.length > items.length) {
        parent.lastChild.remove();
    }

    items.forEach((item, i) => {
        fill(parent.children[i] || make(parent), item);
    });
}

function cells(row, texts) {
    texts.forEach((text, i) => {
        (row.cells[i] || add(row, 'td')).textContent = text;
    });
}

// Text of others: what it does to the direction of text stays in it.

function name(parent, text, missing = '(none)') {
    parent.replaceChildren();
    parent.title = text ?? '';
    add(parent, 'bdi', {}, text ?? missing);
}

function track(parent, share, color = 'blue') {
    const box = parent.querySelector('.track')
        || add(parent, 'span', { class: 'track', 'aria-hidden': 'true' });
    const fill = box.firstChild || add(box, 'i');

    fill.className = `c-${color}`;
    fill.style.width = `${Math.min(1, Math.max(0, share)) * 100}%`;
}


// Axes

function nice(value, base = 10) {
    const power = base ** Math.floor(Math.log(value) / Math.log(base));
    const steps = base === 10 ? [1, 2, 5, 10]
        : [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

    return steps.find((step) => step * power >= value * 0.999) * power;
}

function ticks(most, { base = 10, least = 1, whole = false }) {
    let step = nice(Math.max(most, least) / 3, base);

    if (whole) {
        step = Math.max(1, step);
    }

    const marks = [];

    for (let i = 0; i === 0 || marks.at(-1) < most * 0.999 || i < 2; i++) {
        marks.push(i * step);
    }

    return marks;
}


// A chart: a card with title, legend and plot.  What is drawn in the plot is up
// to Curves and Bars.  The cross is moved by pointer or keys.

class Chart {
    constructor(parent, title, note, series, options = {}) {
        Object.assign(this, { height: 150, format: rated, size: '', stacked: false },
                      options, { series, title });

        this.card = add(parent, 'figure', { class: `card ${this.size}` });
        const caption = add(this.card, 'figcaption');
        add(add(caption, 'h2', {}, title), 'small', {}, note);

        this.legend();
        this.svg = add(this.card, 'svg', {
            class: 'plot', height: this.height, tabindex: 0, role: 'slider',
            'aria-label': title, 'aria-valuemin': 0,
        });

        this.back = add(this.svg, 'g');
        this.body = add(this.svg, 'g');
        this.front = add(this.svg, 'g');
        this.top = 8;
        this.bottom = this.height - 22;
        this.cross = null;
        this.points = [];
        this.listen();
    }

    legend() {
        const list = add(this.card, 'ul', { class: 'legend' });

        for (const series of this.series) {
            const item = add(list, 'li', { class: `key c-${series.color}` });
            item.append(`${series.name} `);
            series.label = add(item, 'b');
        }
    }

    listen() {
        const { svg } = this;

        svg.addEventListener('pointermove', (event) => {
            const box = svg.getBoundingClientRect();
            this.point(this.nearest(event.clientX - box.left), event);
        });
        svg.addEventListener('pointerleave', () => this.point(null));
        svg.addEventListener('blur', () => this.point(null));
        svg.addEventListener('keydown', (event) => this.key(event));

        new ResizeObserver(() => this.draw()).observe(svg);
    }

    key(event) {
        const last = this.points.length - 1;
        const at = this.cross ?? last;
        const to = {
            ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1,
            ArrowUp: at + 1, PageUp: at + 10, PageDown: at - 10,
            Home: 0, End: last, Escape: null,
        }[event.key];

        if (to === undefined || last < 0) {
            return;
        }

        event.preventDefault();
        this.point(to === null ? null : Math.min(last, Math.max(0, to)));
    }

    nearest(x) {
        let best = null;
        let least = Infinity;

        this.points.forEach((point, i) => {
            const distance = Math.abs(this.x(i) - x);

            if (distance < least) {
                [best, least] = [i, distance];
            }
        });

        return best;
    }

    point(i, event) {
        this.cross = i;
        this.drawCross();
        this.label();
        this.tip(event);
    }

    tip(event) {
        const tip = get('tip');
        const at = this.points[this.cross];

        tip.hidden = !at;

        if (!at) {
            return;
        }

        tip.replaceChildren();
        add(tip, 'p', {}, this.when(at));

        this.series.forEach((series, s) => {
            const line = add(tip, 'p');
            add(line, 'span', { class: `key c-${series.color}` }, series.name);
            add(line, 'b', {}, this.text(at.values[s]));
        });

        place(tip, this.svg.getBoundingClientRect(), this.x(this.cross), event);
    }

    text(value) {
        return value === null ? '\u2013' : this.format(value);
    }

    // What the legend has, and a screen reader says.

    label() {
        const at = this.points[this.cross ?? this.points.length - 1];

        this.series.forEach((series, s) => {
            series.label.textContent = at ? this.text(at.values[s]) : '';
        });

        this.svg.setAttribute('aria-valuemax', Math.max(0, this.points.length - 1));
        this.svg.setAttribute('aria-valuenow',
                              Math.max(0, this.cross ?? this.points.length - 1));
        this.svg.setAttribute('aria-valuetext', at
            ? `${this.when(at)}: ` + this.series.map((series, s) =>
                `${series.name} ${this.text(at.values[s])}`).join(', ')
            : 'nothing yet');
    }

    // Values as they are drawn: upon each other, if they are stacked.

    heights() {
        return this.points.map(({ values }) => {
            let sum = 0;

            return values.map((value, s) => {
                if (value === null || !this.stacked || this.series[s].apart) {
                    return [0, value];
                }

                sum += value;
                return [sum - value, sum];
            });
        });
    }

    draw() {
        this.width = this.svg.clientWidth;

        if (!this.width || !this.points.length) {
            return;
        }

        this.svg.setAttribute('viewBox', `0 0 ${this.width} ${this.height}`);
        const heights = this.heights();
        const most = Math.max(0, ...heights.flat().map((pair) => pair[1] ?? 0));
        const marks = ticks(most, this);
        this.most = marks.at(-1);

        this.back.replaceChildren();
        this.body.replaceChildren();
        this.drawRules(marks);
        this.drawBody(heights);
        this.drawCross();
        this.label();
    }

    drawRules(marks) {
        const texts = marks.map(this.axis || this.format);
        this.left = 10 + Math.max(...texts.map((text) => text.length)) * 6.2;
        this.right = this.width - 6;

        marks.forEach((value, i) => {
            const y = this.y(value);

            add(this.back, 'line', { class: i ? 'rule' : 'base', x1: this.left,
                                     x2: this.right, y1: y, y2: y });
            add(this.back, 'text', { x: this.left - 8, y: y + 4,
                                     'text-anchor': 'end' }, texts[i]);
        });
    }

    drawCross() {
        this.front.replaceChildren();
        const at = this.points[this.cross];

        if (!at) {
            return;
        }

        const x = this.x(this.cross);
        add(this.front, 'line', { class: 'cross', x1: x, x2: x, y1: this.top,
                                  y2: this.bottom });

        this.heights()[this.cross].forEach(([, top], s) => {
            if (top !== null && (at.values[s] || !this.stacked)) {
                add(this.front, 'circle', {
                    class: `pip c-${this.series[s].color}`, cx: x,
                    cy: this.y(top), r: 4 });
            }
        });
    }

    y(value) {
        return this.bottom - value / this.most * (this.bottom - this.top);
    }

    tick(x, text, anchor = 'middle') {
        add(this.back, 'text', { x, y: this.height - 5, 'text-anchor': anchor },
            text);
    }
}

// Beside the pointer, or the cross, and within the window.

function place(tip, box, x, event) {
    const top = event ? event.clientY : box.top + box.height / 2;
    const { offsetWidth: width, offsetHeight: height } = tip;
    const left = box.left + (x > box.width / 2 ? x - width - 14 : x + 14);

    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(top - height / 2,
                                            innerHeight - height - 4))}px`;
}


// Curves over time.  A point without value parts them.

class Curves extends Chart {
    when(point) {
        return clock(point.time);
    }

    x(i) {
        return this.over(this.points[i].time);
    }

    over(time) {
        const share = (time - this.from) / (this.to - this.from);

        return this.left + share * (this.right - this.left);
    }

    show(view) {
        const { from, to, spans } = view;
        const held = this.points[this.cross]?.time;

        Object.assign(this, { from, to, lost: view.lost, resets: view.resets });
        this.points = spans.flatMap((span) => {
            const { time, broken } = span.b;
            const values = this.series.map((series) => series.of(span));
            const unknown = { time, values: values.map(() => null) };

            return [...(broken ? [unknown] : []), { time, values }];
        });

        // the cross stays where it was
        if (held !== undefined) {
            const i = this.points.findIndex((point) => point.time >= held);
            this.cross = i < 0 ? null : i;
        }

        this.draw();
    }

    drawBody(heights) {
        this.drawTimes();

        this.lost.forEach(([from, to]) => {
            const x = this.over(Math.max(from, this.from));
            add(this.back, 'rect', {
                class: 'shade', x, y: this.top, height: this.bottom - this.top,
                width: Math.max(1, this.over(Math.min(to, this.to)) - x) });
        });

        this.resets.forEach((time) => {
            const x = this.over(time);
            const line = add(this.back, 'line', {
                class: 'reset', x1: x, x2: x, y1: this.top, y2: this.bottom });
            add(line, 'title', {}, 'the counters began anew');
        });

        this.series.forEach((series, s) => {
            this.drawSeries(series, heights.map((pairs) => pairs[s]));
        });
    }

    drawTimes() {
        const span = this.to - this.from;
        const step = [10, 20, 30, 60, 120, 300, 600, 900, 1800].find(
            (size) => span / size * 66 <= this.right - this.left) || 3600;
        const written = step < 60 ? clock : minutes;

        for (let t = Math.ceil(this.from / step) * step; t <= this.to; t += step) {
            const x = this.over(t);

            if (x > this.left + 14 && x < this.right - 20) {
                this.tick(x, written(t));
            }
        }
    }

    drawSeries(series, pairs) {
        const color = `c-${series.color}`;

        for (const run of this.runs(pairs)) {
            const at = run.map((i) => [this.x(i), ...pairs[i]]);
            const upper = at.map(([x, , top]) => [x, this.y(top)]);
            const lower = at.map(([x, low]) => [x, this.y(low)]).reverse();

            if (run.length === 1) {
                add(this.body, 'circle', { class: `block ${color}`, r: 2,
                                           cx: upper[0][0], cy: upper[0][1] });
                continue;
            }

            if (!series.bare && upper.some(([, y], i) =>
                y < lower.at(-1 - i)[1])) {
                add(this.body, 'path', {
                    class: `area ${this.stacked ? 'stacked' : ''} ${color}`,
                    d: path([...upper, ...lower]) });
            }

            this.drawLine(run, pairs, series);
        }
    }

    // In a stack the line of a thin layer would hide those below.

    drawLine(run, pairs, series) {
        const lowest = series === this.series[0];
        let line = [];
        const lines = [line];

        for (const i of run) {
            const [low, top] = pairs[i];

            if (this.stacked && !lowest && this.y(low) - this.y(top) < 3) {
                lines.push(line = []);

            } else {
                line.push([this.x(i), this.y(top)]);
            }
        }

        for (const points of lines.filter((some) => some.length > 1)) {
            add(this.body, 'path', { class: `curve c-${series.color}`,
                                     d: path(points) });
        }
    }

    // Points that follow each other and have a value

    runs(pairs) {
        const runs = [[]];

        pairs.forEach(([, top], i) => {
            if (top === null) {
                runs.push([]);

            } else {
                runs.at(-1).push(i);
            }
        });

        return runs.filter((run) => run.length);
    }
}

const path = (points) => 'M' + points.map(([x, y]) =>
    `${x.toFixed(1)} ${y.toFixed(1)}`).join('L');


// Bars by day

class Bars extends Chart {
    when(point) {
        return weekday(point.time);
    }

    x(i) {
        return this.left + (i + 0.5) * this.slot();
    }

    slot() {
        return (this.right - this.left) / Math.max(1, this.points.length);
    }

    show(points) {
        this.points = points;
        this.cross = null;
        this.draw();
    }

    drawBody(heights) {
        const width = Math.max(1, Math.min(34, this.slot() * 0.72));
        const every = Math.max(1, Math.ceil(48 / this.slot()));

        this.points.forEach((point, i) => {
            if ((this.points.length - 1 - i) % every === 0) {
                this.tick(Math.min(this.x(i), this.right - 16), day(point.time));
            }
        });

        const drawn = [...this.series.entries()];
        const above = drawn.filter(([, series]) => series.apart);
        const bars = drawn.filter(([, series]) => !series.apart);

        // the lower ones are drawn over the upper ones

        for (const [s, series] of [...bars.reverse(), ...above]) {
            const tops = heights.map((pairs) => pairs[s][1]);

            if (series.apart) {
                add(this.body, 'path', {
                    class: `curve c-${series.color}`,
                    d: path(tops.map((top, i) => [this.x(i), this.y(top)])) });

            } else {
                this.drawBars(tops, width, series.color);
            }
        }
    }

    drawBars(tops, width, color) {
        tops.forEach((top, i) => {
            add(this.body, 'rect', {
                class: `block c-${color}`, x: this.x(i) - width / 2,
                y: this.y(top), width, rx: Math.min(3, width / 3),
                height: this.bottom - this.y(top) });
        });
    }
}


// What is drawn of a span, which is the samples "between" two points of a chart
// and ends with b; "early" is SMOOTH seconds before b, or where the span begins.

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

const OUTCOMES = [
    ['hit', 'blue'], ['spooled', 'amber'], ['dropped', 'red'],
    ['skipped', 'slate'], ['unknown', 'violet'], ['disabled', 'teal'],
    ['expired', 'pink'],
];

const commit = (sample) => sample.batches.commit;
const size = (sample) => sample.batches.size;
const connections = (state) => level((sample) =>
    sample.database.connections[state]);
const per = (value) => `${rated(value)}/s`;

const series = (list) => list.map(([name, color, of, more]) =>
    ({ name, color, of, ...more }));

const charts = [];

function makeCharts() {
    const parent = get('charts');
    const make = (title, note, list, options) => {
        charts.push(new Curves(parent, title, note, series(list), options));
    };

    make('Requests', 'a second, by outcome', OUTCOMES.map(([name, color]) =>
        [name, color, rate((sample) => sample.outcomes[name])]),
         { size: 'two-thirds', height: 226, stacked: true, format: per, axis: plain });

    make('Commit latency', 'of a batch', [
        ['p50', 'blue', quantile(commit, 0.5)],
        ['p99', 'violet', quantile(commit, 0.99), { bare: true }],
    ], { height: 226, format: seconds, least: 0.001 });

    make('Batch size', 'hits a batch', [
        ['mean', 'blue', mean(size)],
        ['p99', 'violet', quantile(size, 0.99), { bare: true }],
    ], { format: plain });

    make('Queue', 'for the next batch', [
        ['records', 'blue', peak((sample) => sample.queue.records)],
        ['visitors waiting', 'amber', peak((sample) => sample.queue.waiting),
         { bare: true }],
    ], { format: plain, whole: true });

    make('Spool', 'on disk', [
        ['size', 'amber', peak((sample) => sample.spool.bytes)],
    ], { format: bytes, base: 1024, least: 1024 });

    make('Link cache', 'look-ups a second', [
        ['hits', 'teal', rate((sample) => sample.cache.hits)],
        ['stale', 'amber', rate((sample) => sample.cache.stale)],
        ['misses', 'violet', rate((sample) => sample.cache.misses)],
    ], { stacked: true, format: per, axis: plain });

    make('Database connections', 'of all workers', [
        ['busy', 'blue', connections('busy')],
        ['idle', 'teal', connections('idle')],
        ['connecting', 'amber', connections('connecting')],
        ['paused', 'red', connections('paused')],
        ['closed', 'slate', connections('closed')],
    ], { stacked: true, format: plain, whole: true });

    make('Users', 'a second', [
        ['claims', 'violet', rate((sample) => sample.claims)],
        ['confirms', 'green', rate((sample) => sample.confirms),
         { bare: true }],
    ], { format: per, axis: plain });
}


// What the page knows

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


// Events

const events = [];

function happened(time, state, text) {
    events.unshift({ time, state, text });
    events.splice(50);

    get('events-none').hidden = true;
    rows(get('events'), events, (list) => {
        const item = add(list, 'li');
        add(item, 'time');
        add(item, 'span');
        return item;
    }, (item, event) => {
        item.dataset.state = event.state;
        item.firstChild.textContent = clock(event.time);
        item.lastChild.textContent = event.text;
    });
}

function notice(last, sample) {
    noticeDatabase(last, sample);
    noticeSpool(sample);

    if (!last || sample.broken) {
        return;
    }

    const more = (value) => value(sample) - value(last);
    const dropped = more((s) => s.outcomes.dropped);
    const rejected = more((s) => s.batches.rejected);
    const pids = ({ workers = [] }) => workers.map(({ pid }) => pid).sort().join();

    if (dropped > 0) {
        happened(sample.time, 'bad', `${plural(dropped, 'hit')} dropped: see the `
                 + 'error log');
    }

    if (rejected > 0) {
        happened(sample.time, 'warn', `${plural(rejected, 'record')} refused by `
                 + 'PostgreSQL: see rejected.sql');
    }

    if (pids(last) !== pids(sample)) {
        happened(sample.time, 'none', 'Other workers: a reload, or one that died');
    }

    delete last.workers;
    delete last.links;
}

const plural = (n, word) => `${count(n)} ${word}${n === 1 ? '' : 's'}`;

function noticeDatabase(last, sample) {
    const { state } = sample.database;

    if (last?.database.state === state) {
        return;
    }

    since.database = { time: sample.time, seen: Boolean(last) };

    if (state === 'down') {
        happened(sample.time, 'bad', 'The database is down');

    } else if (last?.database.state === 'down') {
        happened(sample.time, 'good', 'The database is up again');
    }
}

// Claims and confirms pass through the spool: what is gone within seconds is no
// backlog.

function noticeSpool(sample) {
    if (!sample.spool.bytes) {
        if (since.spool && sample.time - since.spool.time > BACKLOG) {
            happened(sample.time, 'good', 'The spool is empty again');
        }

        since.spool = null;

    } else {
        since.spool ??= { time: sample.time, seen: samples.length > 1 };
    }
}

function lasted(from, time) {
    return from.seen ? duration(time - from.time)
        : `more than ${duration(time - from.time)}`;
}

function backlog(sample) {
    const from = since.spool;

    return from && (sample.time - from.time > BACKLOG
                    || sample.database.state === 'down') ? from : null;
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

    return { from, to, spans: spans.filter(({ b }) => b.time >= from),
             lost: [...losses, ...(lost && latest() ? [[latest().time, to]] : [])]
                 .filter((range) => range[1] > from),
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


// The live view

function render() {
    document.body.classList.toggle('stale', Boolean(lost));
    renderVerdict();

    if (paused !== null || !latest()) {
        return;
    }

    renderTiles(latest());
    renderLinks(latest().links || []);
    renderWorkers(latest().workers || []);
    renderTotals(latest());
    renderCharts();
}

function renderCharts() {
    const shown = view(Number(document.querySelector('#range :checked').value));

    charts.forEach((chart) => chart.show(shown));
}

function renderVerdict() {
    const [state, text, more, title] = verdict();

    mark('banner', state);
    put('verdict', text);
    put('verdict-more', more);
    document.title = title ? `${title} \u2013 hype` : 'hype status';
}

function verdict() {
    const last = latest();

    if (lost) {
        return ['bad', 'No answer from nginx', ` for ${duration(
            (performance.now() - (last?.received ?? opened)) / 1000)} (${lost.why}).`
            + (last ? ` What is shown is of ${clock(last.time)}.` : ''),
                '\u26a0 no answer'];
    }

    if (!last) {
        return ['none', 'Waiting for nginx', '', ''];
    }

    const { early, b } = recent(MINUTE);
    const more = (value) => early ? value(b) - value(early) : 0;

    return verdictOf(last, more((s) => s.outcomes.dropped),
                     more((s) => s.batches.rejected));
}

function verdictOf(last, dropped, rejected) {
    const from = backlog(last);

    if (dropped > 0) {
        return ['bad', `${plural(dropped, 'hit')} dropped in the last minute.`,
                ' The error log has what restores them.', '\u26a0 dropping hits'];
    }

    if (last.database.state === 'down') {
        return ['bad', `The database has been down for ${lasted(
            since.database, last.time)}.`, last.spool.enabled
            ? ' Hits are kept in the spool, visitors are redirected.'
            : ' There is no spool: hits are dropped.', '\u26a0 database down'];
    }

    if (from) {
        return ['warn', 'The spool is being written to the database.',
                ` ${spoolText(last)}.`, 'spool backlog'];
    }

    if (rejected > 0) {
        return ['warn', `PostgreSQL refused ${plural(rejected, 'record')} in the `
                + 'last minute.', ' rejected.sql has them.', 'records refused'];
    }

    if (last.database.state !== 'up') {
        return ['none', 'Nothing to do so far.',
                ' The database has not been used yet.', ''];
    }

    return ['good', 'All is well.', ' Hits are written as they come.',
            `${get('hits-rate').textContent} hits/s`];
}

function renderTiles(last) {
    const span = recent(SMOOTH);
    const hits = (s) => s.outcomes.hit + s.outcomes.spooled;
    const speed = rate(hits)(span);

    put('hits-rate', speed === null ? '\u2013' : rated(speed));
    put('hits-more', `${count(hits(last))} since ${moment(last.started)}`);

    renderDatabase(last.database);
    renderSpool(last);

    const minute = recent(MINUTE);
    const [p50, p99] = [0.5, 0.99].map((q) => quantile(commit, q)(minute));
    const longest = last.batches.commit.le.at(-1);

    put('commit-p99', p99 === null ? '\u2013'
        : p99 >= longest ? `> ${seconds(longest)}` : seconds(p99));
    put('commit-more', p99 === null ? 'no batch in the last minute'
        : `p50 ${seconds(p50)}, in the last minute`);
}

function renderDatabase({ state, connections: open, errors }) {
    const list = ['busy', 'idle', 'connecting', 'paused'].filter((name) => open[name])
        .map((name) => `${open[name]} ${name}`);

    mark('database', { up: 'good', down: 'bad' }[state] || 'none');
    put('database-state', { up: 'Up', down: 'Down' }[state] || 'Unused');
    put('database-more', (list.join(', ') || 'no connections')
        + (errors ? `, ${plural(errors, 'error')}` : ''));
}

function renderSpool(last) {
    const { enabled, bytes: used, records } = last.spool;
    const from = backlog(last);

    mark('spool', !enabled ? 'none' : !from ? 'good'
         : last.database.state === 'down' ? 'bad' : 'warn');
    put('spool-state', !enabled ? 'Off' : !used ? 'Empty'
        : records ? count(records) : bytes(used));
    put('spool-unit', used && records ? 'records' : '');
    put('spool-more', !enabled ? 'hits are dropped without it'
        : used ? spoolText(last) : `${bytes(last.spool.max_size)} may be used`);
}

function spoolText(last) {
    const { bytes: used } = last.spool;
    const from = backlog(last);

    if (!from) {
        return `${bytes(used)}, passing through`;
    }

    const speed = rate((s) => s.spool.bytes)(recent(BACKLOG));
    const left = speed < 0 ? `, about ${duration(used / -speed)} left`
        : speed > 0 ? `, growing by ${bytes(speed)}/s` : '';

    return `${bytes(used)} for ${lasted(from, last.time)}${left}`;
}

function renderLinks(links) {
    const most = Math.max(1, ...links.map((link) => link.hits));

    get('links-none').hidden = links.length > 0;
    get('links').hidden = !links.length;

    rows(get('links').tBodies[0], links.slice(0, 10), (body) => {
        const row = add(body, 'tr');
        add(row, 'td', { class: 'cut' });
        add(row, 'td');
        add(row, 'td');
        return row;
    }, (row, link) => {
        name(row.cells[0], link.identifier);
        track(row.cells[1], link.hits / most);
        row.cells[2].textContent = count(link.hits);
    });
}

function renderWorkers(workers) {
    rows(get('workers').tBodies[0], workers, (body) => add(body, 'tr'),
         (row, worker) => {
             const open = worker.connections || {};

             cells(row, [
                 String(worker.pid), plain(worker.queue ?? 0),
                 plain(worker.waiting ?? 0), bytes(worker.spool ?? 0),
                 `${open.busy ?? 0} busy, ${open.idle ?? 0} idle`]);
         });
}

function renderTotals(last) {
    const { outcomes, batches, cache, database } = last;
    const looked = cache.hits + cache.misses + cache.stale;

    put('totals-since', `since ${moment(last.started)}`);

    const list = [
        ...OUTCOMES.map(([key]) => [key, outcomes[key],
            outcomes[key] && { dropped: 'bad', spooled: 'warn' }[key]]),
        ['claims', last.claims], ['confirms', last.confirms],
        ['batches', batches.count],
        ['refused records', batches.rejected, batches.rejected && 'warn'],
        ['database errors', database.errors, database.errors && 'warn'],
        ['cache hits', looked ? percent(cache.hits / looked) : '\u2013'],
        ['links in cache', cache.links],
        ['cache used', percent(1 - cache.free / cache.size)],
        ['evictions', cache.evictions],
    ];

    rows(get('totals'), list, (parent) => {
        const box = add(parent, 'div');
        add(box, 'dt');
        add(box, 'dd');
        return box;
    }, (box, [key, value, state]) => {
        box.dataset.state = state || 'none';
        box.dataset.name = key;
        box.firstChild.textContent = key;
        box.lastChild.textContent = typeof value === 'number'
            ? count(value) : value;
    });
}

function about() {
    const last = latest();

    put('about', last ? `ngx_http_hype_module ${last.version}, nginx ${last.nginx}`
        + ` \u00b7 times of ${Intl.DateTimeFormat().resolvedOptions().timeZone}`
        : '');
}


// Reports

let chartOfDays;
let reportTimer;
let reportAge = '';

function makeReports() {
    chartOfDays = new Bars(get('report-charts'), 'Hits by day', 'in UTC', series([
        ['hits', 'blue'], ['bots', 'slate'],
        ['visitors', 'teal', undefined, { apart: true }],
    ]), { size: 'half', height: 226, stacked: true, format: count, whole: true });

    get('report-charts').prepend(chartOfDays.card);
}

async function report() {
    clearTimeout(reportTimer);

    try {
        const response = await ask('?report');

        if (response.status === 404) {
            return;
        }

        if (!response.ok) {
            throw new Error(`HTTP ${response.status}`);
        }

        renderReport(await response.json());
        get('tabs').hidden = false;
        get('report-banner').hidden = true;
        open(location.hash === '#reports' ? 'reports' : 'live');

    } catch (error) {
        get('report-banner').hidden = false;
        mark('report-banner', 'warn');
        put('report-verdict', `No report at the moment (${reason(error)}).`);
    }

    reportTimer = setTimeout(report, REPORT_INTERVAL);
}

function renderReport({ days, links, funnel, age }) {
    const share = (a, b) => b ? a / b : null;
    const written = (value) => value === null ? '\u2013' : percent(value);

    const tiles = [
        ['Hits', count(funnel.hits), 'without bots'],
        ['Visitors', count(funnel.visitors), 'different ones'],
        ['Users', count(funnel.linked), 'visitors who became known'],
        ['Confirmed', count(funnel.confirmed), 'users who did what counts'],
        ['Conversion', written(share(funnel.confirmed, funnel.visitors)),
         'confirmed of visitors'],
    ];

    rows(get('report-tiles'), tiles, (parent) => {
        const tile = add(parent, 'div', { class: 'tile' });
        add(tile, 'h2');
        add(tile, 'p', { class: 'big' });
        add(tile, 'p', { class: 'sub' });
        return tile;
    }, (tile, texts) => {
        texts.forEach((text, i) => { tile.children[i].textContent = text; });
    });

    reportAge = `${duration(age)} old`;
    renderFunnel(funnel, written, share);
    chartOfDays.show(allDays(days));
    renderReportLinks(links, written);
}

function renderFunnel(funnel, written, share) {
    const steps = [['Hits', funnel.hits, 'blue'],
                   ['Visitors', funnel.visitors, 'teal'],
                   ['Users', funnel.linked, 'violet'],
                   ['Confirmed', funnel.confirmed, 'green']];
    const most = Math.max(1, ...steps.map((step) => step[1]));

    rows(get('funnel'), steps, (parent) => {
        const item = add(parent, 'li');
        const line = add(item, 'p');
        add(line, 'b');
        add(line, 'span');
        return item;
    }, (item, [text, value, color]) => {
        const i = steps.findIndex((step) => step[0] === text);
        const rateOf = i ? ` \u00b7 ${written(share(value, steps[i - 1][1]))} of `
            + steps[i - 1][0].toLowerCase() : '';

        item.firstChild.firstChild.textContent = text;
        item.firstChild.lastChild.textContent = count(value) + rateOf;
        track(item, value / most, color);
    });
}

// Days without hits are not in the view.

function allDays(days) {
    const known = new Map(days.map((some) => [Date.parse(some.day) / 1000, some]));
    const at = [...known.keys()].sort((a, b) => a - b);
    const points = [];

    for (let time = at[0]; time <= at.at(-1); time += 86400) {
        const { hits = 0, bots = 0, visitors = 0 } = known.get(time) || {};
        points.push({ time, values: [hits, bots, visitors] });
    }

    return points;
}

function renderReportLinks(links, written) {
    const best = Math.max(1e-9, ...links.map((link) => link.conversion_rate ?? 0));

    get('report-links-none').hidden = links.length > 0;

    rows(get('report-links').tBodies[0], links, (body) => {
        const row = add(body, 'tr');

        cells(row, Array(7).fill(''));
        row.cells[0].className = row.cells[1].className = 'cut';
        add(row.cells[6], 'div', { class: 'rate' });
        return row;
    }, (row, link) => {
        name(row.cells[0], link.identifier);

        if (link.label) {
            add(add(row.cells[0], 'small'), 'bdi', {}, link.label);
            row.cells[0].title += `: ${link.label}`;
        }

        name(row.cells[1], link.user_id, '\u2013');
        ['hits', 'visitors', 'linked_users', 'confirmed'].forEach((key, i) => {
            row.cells[i + 2].textContent = count(link[key]);
        });

        const box = row.cells[6].firstChild;
        track(box, (link.conversion_rate ?? 0) / best, 'green');
        (box.children[1] || add(box, 'span')).textContent =
            written(link.conversion_rate ?? null);
    });
}


// Tabs, range, pause

function open(chosen) {
    for (const id of ['live', 'reports']) {
        const tab = get(`tab-${id}`);
        const on = id === chosen;

        tab.setAttribute('aria-selected', on);
        tab.tabIndex = on ? 0 : -1;
        get(id).hidden = !on;
        get(id).setAttribute('role', 'tabpanel');
    }

    get('range').hidden = get('pause').hidden = chosen !== 'live';
    renderNote();
}

function choose(id) {
    history.replaceState(null, '', id === 'reports' ? '#reports' : location.pathname
                         + location.search);
    open(id);
    get(`tab-${id}`).focus();
}

function listenToTabs() {
    get('tabs').addEventListener('click', (event) => {
        const tab = event.target.closest('[role=tab]');

        if (tab) {
            choose(tab.getAttribute('aria-controls'));
        }
    });

    get('tabs').addEventListener('keydown', (event) => {
        const other = get('live').hidden ? 'live' : 'reports';
        const to = { ArrowLeft: other, ArrowRight: other, Home: 'live',
                     End: 'reports' }[event.key];

        if (to) {
            event.preventDefault();
            choose(to);
        }
    });
}

// Samples are taken all the same: nothing is missing afterwards.

function pause() {
    paused = paused === null ? now() : null;

    const button = get('pause');
    button.setAttribute('aria-pressed', paused !== null);
    button.lastElementChild.textContent = paused === null ? 'Pause' : 'Resume';
    drawPause();
    renderNote();
    render();
}

function renderNote() {
    put('note', get('live').hidden ? reportAge
        : paused === null ? '' : `paused at ${clock(paused)}`);
}

function drawPause() {
    get('pause').querySelector('path').setAttribute('d', paused === null
        ? 'M1 0h4v12h-4zM7 0h4v12h-4z' : 'M1 0l11 6l-11 6z');
}


// Asking

function ask(url) {
    return fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT) });
}

async function poll() {
    const begin = performance.now();

    try {
        const response = await ask('?json');

        if (!response.ok) {
            throw new Error(`HTTP ${response.status}`);
        }

        take(await response.json());
        about();

    } catch (error) {
        lose(error);
    }

    setTimeout(poll, Math.max(0, INTERVAL - (performance.now() - begin)));
}

makeCharts();
makeReports();
listenToTabs();
drawPause();
get('pause').addEventListener('click', pause);
get('range').addEventListener('change', () => {
    if (latest()) {
        renderCharts();
    }
});
poll();
report();

})();
