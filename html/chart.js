'use strict';

// Charts

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


// The scale for most of the values, where a few are far above them: such as the
// batches after an outage

function usual(values) {
    const some = values.filter((value) => value > 0).sort((a, b) => a - b);

    if (!some.length) {
        return 0;
    }

    const most = some[Math.floor((some.length - 1) * 0.9)] * 2;

    return Math.min(some.at(-1), most);
}


// A chart: a card with title, legend and plot.  What is drawn in the plot is up
// to Curves and Bars.  The cross is moved by pointer or keys.

class Chart {
    constructor(parent, title, note, series, options = {}) {
        Object.assign(this, { height: 150, format: rated, size: '',
                              stacked: false }, options, { series, title });

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

        const last = Math.max(0, this.points.length - 1);
        this.svg.setAttribute('aria-valuemax', last);
        this.svg.setAttribute('aria-valuenow', this.cross ?? last);
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
        const tops = heights.flat().map((pair) => pair[1] ?? 0);
        const most = this.clip ? usual(tops) : Math.max(0, ...tops);
        const marks = ticks(most, this);
        this.most = marks.at(-1);

        this.back.replaceChildren();
        this.body.replaceChildren();
        this.drawRules(marks);
        this.drawBody(heights);
        this.drawAbove(Math.max(0, ...tops));
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

    // What a scale for the usual does not show

    drawAbove(highest) {
        if (highest > this.most) {
            add(this.body, 'text', {
                class: 'above', x: this.right, y: this.top + 10,
                'text-anchor': 'end' }, `\u25b2 up to ${this.format(highest)}`);
        }
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
        const share = Math.min(1, value / this.most);

        return this.bottom - share * (this.bottom - this.top);
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

        const seen = this.lost.filter(([, to]) => to > this.from);

        seen.forEach(([from, to]) => {
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

        let t = Math.ceil(this.from / step) * step;

        for (; t <= this.to; t += step) {
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
    wide = 60;                  // the room of a label

    when(point) {
        return weekday(point.time);
    }

    short(point) {
        return day(point.time);
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
        const every = Math.max(1, Math.ceil(this.wide / this.slot()));

        this.points.forEach((point, i) => {
            if ((this.points.length - 1 - i) % every === 0) {
                this.tick(Math.min(this.x(i), this.right - 16),
                          this.short(point));
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
