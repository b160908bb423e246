'use strict';

// The live view

const OUTCOMES = [
    ['hit', 'blue'], ['spooled', 'amber'], ['dropped', 'red'],
    ['skipped', 'slate'], ['unknown', 'violet'], ['disabled', 'teal'],
    ['expired', 'pink'],
];

// seconds after which the derivation is late

const LATE = 300;

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
         { size: 'two-thirds', height: 226, stacked: true, format: per,
           axis: plain });

    make('Commit latency', 'of a batch', [
        ['p50', 'blue', quantile(commit, 0.5)],
        ['p99', 'violet', quantile(commit, 0.99), { bare: true }],
    ], { height: 226, format: seconds, least: 0.001, clip: true });

    make('Batch size', 'hits a batch', [
        ['mean', 'blue', mean(size)],
        ['p99', 'violet', quantile(size, 0.99), { bare: true }],
    ], { format: plain, clip: true });

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
    const pids = ({ workers }) =>
        workers.map(({ pid }) => pid).sort().join();

    if (dropped > 0) {
        happened(sample.time, 'bad', `${plural(dropped, 'hit')} dropped: see `
                 + 'dropped.records');
    }

    if (rejected > 0) {
        happened(sample.time, 'warn', `${plural(rejected, 'record')} refused `
                 + 'by PostgreSQL: see rejected.records');
    }

    if (pids(last) !== pids(sample)) {
        happened(sample.time, 'none', 'Other workers: a reload, or one that '
                 + 'died');
    }

    delete last.workers;
    delete last.links;
    delete last.unknown;
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

function noticeSpool(sample) {
    if (waits(sample)) {
        const young = sample.time - samples[0].time < 2 * BACKLOG;

        since.spool ??= young && sample.database.state !== 'down'
            ? { time: samples[0].time, seen: false }
            : { time: sample.time, seen: samples.length > 1 };

    } else if (since.spool) {
        since.spool = null;
        happened(sample.time, 'good', 'The backlog in the spool is written');
    }
}

// Claims and confirms pass through the spool all the time.  There is a backlog
// if it has more than can have come in the last seconds.

function waits(sample) {
    const { bytes: used, appended } = sample.spool;
    const { early } = recent(BACKLOG);

    if (sample.database.state === 'down') {
        return used > 0;
    }

    return early !== null && sample.time - early.time >= BACKLOG
        && used > RECORD * (appended - early.spool.appended);
}

function lasted(from, time) {
    return from.seen ? duration(time - from.time)
        : `more than ${duration(time - from.time)}`;
}


function render() {
    document.body.classList.toggle('stale', Boolean(lost));
    renderVerdict();

    if (paused !== null || !latest()) {
        return;
    }

    renderTiles(latest());
    renderMost('links', latest().links || [], 'hits');
    renderMost('unknown', latest().unknown || [], 'visits');
    renderWorkers(latest().workers || []);
    renderTotals(latest());
    renderCharts();
}

const range = () => Number(document.querySelector('#range :checked').value);

function renderCharts() {
    const shown = view(range());

    put('charts-note', `The last ${duration(range())}. Each point is of the ${
        duration(shown.each)} before it.`);
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
        const gone = (performance.now() - (last?.received ?? opened)) / 1000;

        return ['bad', 'No answer from nginx',
                ` for ${duration(gone)} (${lost.why}).`
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
    const from = since.spool;

    if (dropped > 0) {
        return ['bad', `${plural(dropped, 'hit')} dropped in the last minute.`,
                last.spool.enabled
                ? ' dropped.records in the spool directory has them.'
                : ' The error log has them.',
                '\u26a0 dropping hits'];
    }

    if (last.database.state === 'down') {
        return ['bad', `The database has been down for ${lasted(
            since.database, last.time)}.`, last.spool.enabled
            ? ' Hits are kept in the spool, visitors are redirected.'
            : ' There is no spool: hits wait in memory, up to a limit.',
                '\u26a0 database down'];
    }

    if (from) {
        return ['warn', 'The spool is being written to the database.',
                ` It has had a backlog ${spoolText(last)}.`,
                'spool backlog'];
    }

    if (rejected > 0) {
        return ['warn', `PostgreSQL refused ${plural(rejected, 'record')} in `
                + 'the last minute.',
                ' rejected.records in the spool directory has them.',
                'records refused'];
    }

    if (last.derive.age > LATE) {
        return ['warn', 'Claims, confirms and reports lag behind.',
                ` hype.derive() has been behind for ${duration(
                    last.derive.age)}.`, 'derivation late'];
    }

    if (last.database.state !== 'up') {
        return ['none', 'Nothing to do so far.',
                ' The database has not been used yet.', ''];
    }

    return ['good', 'All is well.', ' Hits are written as they arrive.',
            `${get('hits-rate').textContent} hits/s`];
}

function renderTiles(last) {
    const span = recent(SMOOTH);
    const hits = (s) => s.outcomes.hit + s.outcomes.spooled;
    const speed = rate(hits)(span);

    put('hits-rate', speed === null ? '\u2013' : rated(speed));
    put('hits-more', `in the last ${duration(SMOOTH)}; `
        + `${count(hits(last))} since ${moment(last.started)}`);

    renderDatabase(last.database);
    renderSpool(last);

    // of what the charts show

    const shown = recent(range());
    const [p50, p99] = [0.5, 0.99].map((q) => quantile(commit, q)(shown));
    const time = duration(shown.early ? shown.b.time - shown.early.time : 0);
    const longest = last.batches.commit.le.at(-1);

    put('commit-p99', p99 === null ? '\u2013'
        : p99 >= longest ? `> ${seconds(longest)}` : seconds(p99));
    put('commit-more', p99 === null ? `no batch in the last ${time}`
        : `p50 ${seconds(p50)}, in the last ${time}`);
}

function renderDatabase({ state, connections: open, errors }) {
    const list = ['busy', 'idle', 'connecting', 'paused']
        .filter((state) => open[state])
        .map((state) => `${open[state]} ${state}`);

    mark('database', { up: 'good', down: 'bad' }[state] || 'none');
    put('database-state', { up: 'Up', down: 'Down' }[state] || 'Unused');
    put('database-more', (list.join(', ') || 'no connections')
        + (errors ? `, ${plural(errors, 'error')}` : ''));
}

function renderSpool(last) {
    const { enabled, bytes: used } = last.spool;
    const from = since.spool;

    mark('spool', !enabled ? 'none' : !from ? 'good'
         : last.database.state === 'down' ? 'bad' : 'warn');
    put('spool-state', !enabled ? 'Off' : used ? bytes(used) : 'Empty');
    put('spool-more', !enabled ? 'hits wait in memory only'
        : used ? spoolText(last) : `${bytes(last.spool.max_size)} may be used`);
}

function spoolText(last) {
    const { bytes: used } = last.spool;
    const from = since.spool;

    if (!from) {
        return 'passing through';
    }

    const speed = rate((s) => s.spool.bytes)(recent(BACKLOG));
    const left = speed < 0 ? `, about ${duration(used / -speed)} left`
        : speed > 0 ? `, growing by ${bytes(speed)}/s` : '';

    return `for ${lasted(from, last.time)}${left}`;
}

// The list of identifiers with the most of something, the first one first

function renderMost(id, list, key) {
    const most = Math.max(1, ...list.map((item) => item[key]));

    get(`${id}-none`).hidden = list.length > 0;
    get(id).hidden = !list.length;

    rows(get(id).tBodies[0], list.slice(0, 10), (body) => {
        const row = add(body, 'tr');
        add(row, 'td', { class: 'cut' });
        add(row, 'td');
        add(row, 'td');
        return row;
    }, (row, item) => {
        named(row.cells[0], item.identifier);
        track(row.cells[1], item[key] / most);
        row.cells[2].textContent = count(item[key]);
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
             labels(row, get('workers'));
         });
}

function renderTotals(last) {
    const { outcomes, batches, cache, database, derive } = last;
    const looked = cache.hits + cache.misses + cache.stale;

    put('totals-since', `since ${moment(last.started)}`);

    const list = [
        ...OUTCOMES.map(([key]) => [key, outcomes[key],
            outcomes[key] && { dropped: 'bad', spooled: 'warn' }[key]]),
        ['claims', last.claims], ['confirms', last.confirms],
        ['batches', batches.count],
        ['refused records', batches.rejected, batches.rejected && 'warn'],
        ['database errors', database.errors, database.errors && 'warn'],
        ['derivation', derive.age > LATE ? `${duration(derive.age)} late`
            : 'up to date', derive.age > LATE && 'warn'],
        ['cache hits', looked ? percent((cache.hits + cache.stale) / looked)
            : '\u2013'],
        ['stale answers', cache.stale],
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

    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();

    put('about', `ngx_http_hype_module ${last.version}, nginx ${last.nginx}`
        + ` \u00b7 times of ${timeZone}`);
}
