'use strict';

// The reports

const REPORT_INTERVAL = 15000;

let chartOfDays;
let reportTimer;
let reportAge = '';

function makeReports() {
    const parent = get('report-charts');

    chartOfDays = new Bars(parent, 'Hits by day', 'in UTC', series([
        ['hits', 'blue'], ['bots', 'slate'],
        ['visitors', 'teal', undefined, { apart: true }],
    ]), { size: 'half', height: 226, stacked: true, format: count,
          whole: true });

    parent.prepend(chartOfDays.card);
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
        openTab(location.hash === '#reports' ? 'reports' : 'live');

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
        const [before, whole] = steps[i - 1] || [];
        const rateOf = i ? ` \u00b7 ${written(share(value, whole))} of `
            + before.toLowerCase() : '';

        item.firstChild.firstChild.textContent = text;
        item.firstChild.lastChild.textContent = count(value) + rateOf;
        track(item, value / most, color);
    });
}

// Days without hits are not in the view.

function allDays(days) {
    const known = new Map(days.map((some) =>
        [Date.parse(some.day) / 1000, some]));
    const at = [...known.keys()].sort((a, b) => a - b);
    const points = [];

    for (let time = at[0]; time <= at.at(-1); time += 86400) {
        const { hits = 0, bots = 0, visitors = 0 } = known.get(time) || {};
        points.push({ time, values: [hits, bots, visitors] });
    }

    return points;
}

function renderReportLinks(links, written) {
    const best = Math.max(1e-9, ...links.map((link) =>
        link.conversion_rate ?? 0));

    get('report-links-none').hidden = links.length > 0;

    rows(get('report-links').tBodies[0], links, (body) => {
        const row = add(body, 'tr');

        cells(row, Array(7).fill(''));
        row.cells[0].className = row.cells[1].className = 'cut';
        add(row.cells[6], 'div', { class: 'rate' });
        return row;
    }, (row, link) => {
        named(row.cells[0], link.identifier);

        if (link.label) {
            add(add(row.cells[0], 'small'), 'bdi', {}, link.label);
            row.cells[0].title += `: ${link.label}`;
        }

        named(row.cells[1], link.user_id, '\u2013');
        ['hits', 'visitors', 'linked_users', 'confirmed'].forEach((key, i) => {
            row.cells[i + 2].textContent = count(link[key]);
        });

        const box = row.cells[6].firstChild;
        track(box, (link.conversion_rate ?? 0) / best, 'green');
        (box.children[1] || add(box, 'span')).textContent =
            written(link.conversion_rate ?? null);
    });
}
