'use strict';

// The time of a report: its days, in the viewer's time zone, and the chart

const DAY = 86400;
const BARS = 400;

let zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

const dated = (date) => [date.getFullYear(), date.getMonth() + 1,
                         date.getDate()]
    .map((n, i) => String(n).padStart(i ? 2 : 4, '0')).join('-');

// The days of a preset: from that many days ago until today, which is open.

function daysOf(period) {
    const from = new Date();

    if (period === 'all') {
        return { from: '', until: '' };
    }

    from.setDate(from.getDate() - (Number(period) - 1));
    return { from: dated(from), until: '' };
}

const serial = (day) => Date.parse(day) / 1000;


// Bars of hours, days, weeks or months

class Periods extends Bars {
    when(point) {
        return { hour, month, week: (time) => `week of ${day(time)}` }[
            this.grain]?.(point.time) ?? weekday(point.time);
    }

    short(point) {
        return (this.grain === 'hour' ? minutes
            : this.grain === 'month' ? month : day)(point.time);
    }

    renew({ grain, days, from, until }) {
        this.grain = grain;
        this.wide = grain === 'month' ? 80 : 60;
        this.title = `Hits by ${grain}`;
        this.card.querySelector('h2').firstChild.data = this.title;
        this.svg.setAttribute('aria-label', this.title);

        const at = (some) => grain === 'hour' ? some.time : serial(some.day);
        const known = new Map(days.map((some) => [at(some), some]));
        const all = [...known.keys(), ...this.steps(from, until, known)];
        const sorted = [...new Set(all)].sort((a, b) => a - b).slice(-BARS);

        this.show(sorted.map((time) => {
            const { hits = 0, bots = 0, visitors = 0 } = known.get(time) || {};

            return { time, values: [hits, bots, visitors] };
        }));
    }

    // Those without hits, too, up to now

    steps(from, until, known) {
        const keys = [...known.keys()];
        const hourly = this.grain === 'hour';
        const begin = (day) => hourly ? Date.parse(`${day}T00:00`) / 1000
            : this.first(serial(day));
        const first = from ? begin(from) : Math.min(...keys);
        const now = hourly ? Date.now() / 1000 : serial(dated(new Date()));
        const last = Math.min(now, until ? begin(until) + (hourly ? DAY - 1 : 0)
                                         : Infinity);
        const steps = [];

        for (let time = first; time <= last && steps.length < 10 * BARS;
             time = this.next(time)) {
            steps.push(time);
        }

        return steps;
    }

    first(time) {
        const date = new Date(time * 1000);

        if (this.grain === 'week') {
            return time - (date.getUTCDay() + 6) % 7 * DAY;
        }

        return this.grain === 'month'
            ? time - (date.getUTCDate() - 1) * DAY : time;
    }

    next(time) {
        if (this.grain === 'month') {
            const date = new Date(time * 1000);

            return date.setUTCMonth(date.getUTCMonth() + 1) / 1000;
        }

        return time + ({ hour: 3600, week: 7 * DAY }[this.grain] || DAY);
    }

    drawBars(tops, width, color) {
        super.drawBars(tops, width, color);

        for (const bar of this.body.querySelectorAll('rect[height="0"]')) {
            bar.remove();
        }
    }
}
