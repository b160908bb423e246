'use strict';

// The reports: what is asked for, and what is shown of it

const REPORT_INTERVAL = 15000;
const REPORT_SOON = 1000;
const REPORT_RETRY = 3000;
const REPORT_LATER = 60000;
const PAGE = 20;

const wanted = { period: '30', ...daysOf('30'), by: 'link', search: '',
                 sort: 'hits', order: 'desc', page: 1 };

let chartOfDays;
let reportTimer;
let reportAge = '';
let asking = null;              // the request under way
let shown = null;               // { key, report, time } of what is there

function makeReports() {
    const parent = get('report-charts');

    chartOfDays = new Periods(parent, 'Hits by day', '', series([
        ['hits', 'blue'], ['bots', 'slate'],
        ['visitors', 'teal', undefined, { apart: true }],
    ]), { size: 'half', height: 226, stacked: true, format: count,
          whole: true });

    parent.prepend(chartOfDays.card);
    readHash();
    renderFilters();
}

// The arguments of "?report"

function reportQuery(more = {}) {
    const { from, until, by, search, sort, order, page } = wanted;
    const list = { zone, from, until, by, search, sort, order, page,
                   size: PAGE, ...more };

    return new URLSearchParams(Object.entries(list).filter(([, value]) =>
        value !== '')).toString();
}

// The same in the page's address, so that it can be kept

function reportHash() {
    const { period, from, until, by, search, sort, order, page } = wanted;
    const list = { ...(period ? { period } : { from, until }), by, search,
                   sort, order, page };
    const usual = { period: '30', by: 'link', sort: 'hits', order: 'desc',
                    page: 1 };
    const parts = new URLSearchParams(Object.entries(list).filter(
        ([key, value]) => value !== '' && value !== usual[key])).toString();

    return parts ? `#reports&${parts}` : '#reports';
}

const ofReports = () => /^#reports(&|$)/.test(location.hash);

function readHash() {
    if (!ofReports()) {
        return;
    }

    const parts = new URLSearchParams(location.hash.slice('#reports'.length));
    const given = Object.fromEntries(parts);

    if (given.from || given.until) {
        Object.assign(wanted, { period: '', from: '', until: '' });

    } else if (['1', '7', '30', '90', '365', 'all'].includes(given.period)) {
        Object.assign(wanted, { period: given.period },
                      daysOf(given.period));
    }

    for (const key of ['from', 'until', 'by', 'search', 'sort', 'order']) {
        wanted[key] = given[key] ?? wanted[key];
    }

    wanted.page = Number(given.page) || 1;
}

// Something else is wanted: all but another page begins with the first one.

function want(changes) {
    Object.assign(wanted, { page: 1 }, changes);
    renderFilters();

    if (!get('reports').hidden) {
        history.replaceState(null, '', reportHash());
    }

    report();
}


// Asking.  A preset of days ends today, whatever day that is by now.

async function report() {
    clearTimeout(reportTimer);
    asking?.abort();

    const own = asking = new AbortController();
    const late = setTimeout(() => own.abort(
        new DOMException('', 'TimeoutError')), TIMEOUT);

    if (wanted.period) {
        Object.assign(wanted, daysOf(wanted.period));
    }

    const key = reportQuery();
    get('report-body').setAttribute('aria-busy', shown?.key !== key);

    let wait = REPORT_INTERVAL;

    try {
        const response = await fetch(`?report&${key}`, {
            cache: 'no-store', signal: own.signal });

        if (response.status === 404) {
            return;
        }

        const text = await response.text();

        if (own === asking) {
            wait = takeReport(response, text, key);
        }

    } catch (error) {
        if (own !== asking) {
            return;
        }

        showProblem({ problem: 'lost', message: reason(error) }, key);

    } finally {
        clearTimeout(late);
    }

    // on the other tab it is enough to know that there are reports

    if (own !== asking) {
        return;
    }

    asking = null;

    if (!get('reports').hidden || get('tabs').hidden) {
        reportTimer = setTimeout(report, wait);
    }
}

// Returns when to ask again.

function takeReport(response, text, key) {
    const answer = parsed(text)
        ?? { problem: 'lost', message: `HTTP ${response.status}` };

    if (get('tabs').hidden) {
        get('tabs').hidden = false;
        openTab(ofReports() ? 'reports' : 'live');
    }

    if (response.ok) {
        shown = { key, report: answer, time: performance.now() / 1000
                  - answer.age };
        renderReport(answer);

    } else if (/time zone/.test(answer.message) && zone !== 'UTC') {

        // the browser knows one that PostgreSQL doesn't

        zone = 'UTC';
        renderFilters();
        return 0;
    }

    showProblem(answer, key);

    return { pending: REPORT_SOON, busy: REPORT_SOON, away: REPORT_SOON,
             grant: REPORT_RETRY, schema: REPORT_RETRY,
             slow: REPORT_LATER }[answer.problem] ?? REPORT_INTERVAL;
}

function parsed(text) {
    try {
        return JSON.parse(text);

    } catch {
        return null;
    }
}

function openReports(open) {
    if (open && !asking) {
        report();
    }
}

const ageOf = () => performance.now() / 1000 - shown.time;

function renderAge() {
    const age = shown ? `${duration(ageOf())} old` : '';

    if (age !== reportAge) {
        reportAge = age;
        renderNote();
    }
}


// Why there is no report, or none of now, and what to do

const VERDICTS = {
    grant: ['warn', 'nginx may not read the reports.',
            'The owner of the schema can grant this, for example in psql:'],
    schema: ['warn', 'The schema in the database is older than nginx\u2019s '
             + 'module.', 'Run sql/hype.sql again.'],
    away: ['bad', 'The database is away.', ''],
    slow: ['warn', 'The report takes too long.',
           'It was cancelled after 10 seconds: choose a shorter time.'],
    failed: ['warn', 'PostgreSQL can\u2019t report.',
             'nginx\u2019s error log says why.'],
    pending: ['none', 'The report is not ready yet.', ''],
    busy: ['none', 'Too many reports are requested.', ''],
    arguments: ['warn', 'There is no such report:', ''],
    lost: ['bad', 'No answer from nginx', ''],
};

function showProblem({ problem, message, statement }, key) {
    const same = shown?.key === key;
    const brief = ['pending', 'busy'].includes(problem);

    get('report-body').hidden = !shown || !same && !brief
        && Boolean(problem);
    get('report-body').setAttribute('aria-busy', Boolean(shown) && !same);
    get('report-banner').hidden = !problem || brief && Boolean(shown);
    get('report-statement').hidden = !statement;
    get('report-filters').hidden = ['grant', 'schema'].includes(problem);

    if (!problem) {
        return;
    }

    const [state, verdict, more] = VERDICTS[problem]
        ?? ['warn', 'No report at the moment.', message];
    const old = same ? ` What is shown is ${duration(ageOf())} old.`
        : problem === 'away' ? ' It has made no such report before.' : '';

    mark('report-banner', state);
    put('report-verdict', problem === 'lost' ? `${verdict} (${message}).`
        : verdict);
    put('report-more', problem === 'arguments' ? `${message}.`
        : problem === 'grant' ? old.trim() + ' ' + more : more + old);
    get('report-statement').firstElementChild.textContent = statement ?? '';
}


function renderFilters() {
    const { period, from, until, by, search } = wanted;

    for (const input of document.querySelectorAll('[name=period]')) {
        input.checked = input.value === period;
    }

    for (const input of document.querySelectorAll('[name=by]')) {
        input.checked = input.value === by;
    }

    get('report-from').value = from;
    get('report-until').value = until
        || (from && period ? dated(new Date()) : '');
    put('report-zone', `days of ${zone}`);

    const field = get('report-search');

    if (field !== document.activeElement) {
        field.value = search;
    }

    field.placeholder = by === 'owner' ? 'Search owners'
        : 'Search links, owners, labels';
    field.setAttribute('aria-label', field.placeholder);
}

function renderReport(answer) {
    const { funnel } = answer;

    renderSums(funnel, answer);
    renderFunnel(funnel);
    chartOfDays.renew(answer);
    renderList(answer);
    renderShares('report-events', answer.events, 'event', 'confirmed',
                 'green', ({ confirmed, value }) =>
                     count(confirmed) + (typeof value === 'number'
                         ? ` \u00b7 ${worth(value)}` : ''));
    renderShares('report-referers', answer.referers, 'value', 'hits', 'blue',
                 ({ hits }) => count(hits));
    renderShares('report-pages', answer.pages, 'value', 'hits', 'teal',
                 ({ hits }) => count(hits));

    // A schema of before knows none.

    renderShares('report-arguments', (answer.arguments || []).map((a) =>
        ({ ...a, label: `${a.name} = ${a.value || '(others)'}` })), 'label',
                 'hits', 'violet', ({ hits, confirmed }) => count(hits)
                     + (confirmed ? ` \u00b7 ${count(confirmed)} confirmed`
                         : ''));
    renderAge();
}

const share = (a, b) => b ? a / b : null;
const written = (value) => value === null ? '\u2013' : percent(value);

// A visitor of more than 32 days ago is not known again, see hype.hits_within.

function renderSums(funnel, { from, until }) {
    const whole = !from && !until;
    const to = until || dated(new Date());
    const long = !whole && (!from || serial(to) - serial(from) > 31 * DAY);

    const tiles = [
        ['Hits', count(funnel.hits),
         `and ${count(funnel.bots)} of bots`],
        ['Visitors', count(funnel.visitors), long
            ? 'who returns after 32 days counts again' : 'different ones'],
        ['Users', count(funnel.linked), whole ? 'visitors who logged in'
            : 'users whose first hit was then'],
        ['Confirmed', count(funnel.confirmed), 'users, once each'],
        ['Conversion', written(share(funnel.confirmed, funnel.visitors)),
         'confirmed of visitors'],
        ['Value', Math.abs(funnel.value) >= 1000 ? count(funnel.value)
            : worth(funnel.value), 'sum of what was confirmed'],
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
}

function renderFunnel(funnel) {
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

// A list with a bar each; "" stands for what is beyond 1,000 values a day.

function renderShares(id, items, name, key, color, text) {
    const table = get(id);
    const most = Math.max(1, ...items.map((item) => item[key]));

    table.hidden = !items.length;
    table.nextElementSibling.hidden = items.length > 0;

    rows(table.tBodies[0], items.slice(0, 10), (body) => {
        const row = add(body, 'tr');
        add(row, 'td', { class: 'cut' });
        add(row, 'td');
        add(row, 'td');
        return row;
    }, (row, item) => {
        named(row.cells[0], item[name] || null, '(others)');
        track(row.cells[1], item[key] / most, color);
        row.cells[2].textContent = text(item);
    });
}

function listenToReports() {
    get('report-range').addEventListener('change', ({ target }) =>
        want({ period: target.value, ...daysOf(target.value) }));

    for (const side of ['from', 'until']) {
        get(`report-${side}`).addEventListener('change', ({ target }) => {
            const { from, until } = wanted;

            want({ from, until, [side]: target.value, period: '' });
        });
    }

    get('report-statement').querySelector('button').addEventListener('click',
        ({ target }) => copy(get('report-statement').firstElementChild
            .textContent, target));

    listenToList();
    setInterval(renderAge, INTERVAL);
}
