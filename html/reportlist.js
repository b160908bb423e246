'use strict';

// The list of links, or of owners, in a report

const whole = (value) => count(value);

const NUMBERS = [
    ['hits', 'Hits', whole], ['visitors', 'Visitors', whole],
    ['linked_users', 'Users', whole], ['confirmed', 'Confirmed', whole],
    ['conversion_rate', 'Conversion', (value) => written(value ?? null)],
    ['value', 'Value', (value) => worth(value)],
];

const COLUMNS = {
    link: [['identifier', 'Link'], ['user_id', 'Owner'], ...NUMBERS],
    owner: [['user_id', 'Owner'], ['links', 'Links', whole], ...NUMBERS],
};

const ofText = (key) => ['identifier', 'label', 'user_id'].includes(key);
const usually = (key) => ofText(key) ? 'asc' : 'desc';
const other = (order) => order === 'asc' ? 'desc' : 'asc';

function renderList(answer) {
    const { by, total, page, size } = answer;
    const list = answer.links || answer.owners;
    const best = Math.max(1e-9, ...list.map((row) => row.conversion_rate ?? 0));
    const first = (page - 1) * size;

    wanted.page = page;
    renderHead(answer);

    const [name, small] = get('report-heading').childNodes;
    name.data = by === 'owner' ? 'Owners ' : 'Links ';
    small.textContent = by === 'owner'
        ? 'hits of their links, and what they are credited with'
        : 'without the hits of bots';

    rows(get('report-links').tBodies[0], list, (body) => add(body, 'tr'),
         (row, item) => renderRow(row, item, by, best, answer));

    get('report-links').hidden = !list.length;
    get('report-links-none').hidden = list.length > 0;
    put('report-links-none', answer.search ? 'Nothing is found.'
        : by === 'owner' ? 'There are no owners yet.'
        : 'There are no links yet.');

    put('report-place', list.length
        ? `${count(first + 1)}\u2013${count(first + list.length)} of `
          + count(total) : '');
    get('report-back').disabled = page <= 1;
    get('report-on').disabled = first + list.length >= total;
    get('report-csv').disabled = !total;
}

function renderHead({ by, sort, order }) {
    const columns = COLUMNS[by];
    const arrow = order === 'asc' ? '\u2191' : '\u2193';

    rows(get('report-links').tHead.rows[0], columns, (row) => {
        const head = add(row, 'th', { scope: 'col' });
        add(head, 'button', { type: 'button', class: 'sort' });
        return head;
    }, (head, [key, name]) => {
        const on = key === sort;

        head.className = ofText(key) ? 'text' : '';
        head.setAttribute('aria-sort', !on ? 'none'
            : order === 'asc' ? 'ascending' : 'descending');
        head.firstChild.dataset.sort = key;
        head.firstChild.textContent = on ? `${name} ${arrow}` : name;
    });

    rows(get('report-sort'), columns, (parent) => add(parent, 'option'),
         (option, [key, name]) => {
             option.value = key;
             option.textContent = name;
         });

    get('report-sort').value = sort;
    put('report-order', arrow);
    get('report-order').setAttribute('aria-label', order === 'asc'
        ? 'Ascending' : 'Descending');
}

function renderRow(row, item, by, best, answer) {
    const columns = COLUMNS[by];

    while (row.cells.length > columns.length) {
        row.lastChild.remove();
    }

    columns.forEach(([key, name, format], i) => {
        const cell = row.cells[i] || add(row, 'td');

        cell.dataset.name = name;
        cell.className = `${ofText(key) ? 'text' : ''} of-${key}`;

        if (key === 'identifier') {
            renderLink(cell, item, answer);

        } else if (key === 'user_id') {
            cell.replaceChildren();
            named(add(cell, 'span', { class: 'cut' }), item.user_id,
                  by === 'owner' ? '(none)' : '\u2013');

        } else if (key === 'conversion_rate') {
            cell.replaceChildren();
            const box = add(cell, 'div', { class: 'rate' });
            track(box, (item[key] ?? 0) / best, 'green');
            add(box, 'span', {}, format(item[key]));

        } else {
            cell.textContent = format(item[key]);
        }
    });

    row.classList.toggle('off', Boolean(item.disabled || item.expired));
}

// The focus stays on a button while the list is drawn anew.

function renderLink(cell, { identifier, label, disabled, expired, expires },
                    answer) {
    let box = cell.querySelector('.name');

    if (!box) {
        cell.replaceChildren();
        box = add(cell, 'div', { class: 'name' });
        add(box, 'span', { class: 'cut' });
        const button = add(box, 'button', { type: 'button', class: 'copy' });
        add(add(button, 'svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }),
            'path', { d: 'M5 1h9v11h-3v3H2V4h3zm1.5 1.5V4H11v6.5h1.5v-8z'
                      + 'M3.5 5.5v8h6v-8z', 'fill-rule': 'evenodd' });
        add(box, 'small', { class: 'cut' });
        add(box, 'b', { class: 'badge' });
    }

    const [name, button, small, badge] = box.children;
    const path = pathOf(identifier, answer);

    named(name, identifier);
    named(small, label, '');
    small.hidden = !label;
    badge.hidden = !disabled && !expired;
    badge.textContent = disabled ? 'disabled' : 'expired';
    badge.title = expired ? `since ${moment(Date.parse(expires) / 1000)}` : '';
    button.dataset.path = path;
    button.title = `Copy ${path}`;
    button.setAttribute('aria-label', `Copy ${path}`);
}

function pathOf(identifier, { path, param }) {
    return path ? `${path.replace(/\/?$/, '/')}${identifier}/`
        : param ? `/?${param}=${identifier}` : identifier;
}

// CSV (RFC 4180).  A text that a spreadsheet would take for a formula begins
// with an apostrophe.

function csvField(value) {
    if (value === null || value === undefined) {
        return '';
    }

    if (typeof value !== 'string') {
        return String(value);
    }

    return `"${value.replace(/^(?=[=+\-@\t\r])/, '\'').replaceAll('"', '""')}"`;
}

const CSV_COLUMNS = {
    link: ['identifier', 'label', 'user_id', 'hits', 'visitors', 'bots',
           'linked_users', 'confirmed', 'confirmations', 'conversion_rate',
           'value', 'disabled', 'expired', 'expires'],
    owner: ['user_id', 'links', 'hits', 'visitors', 'bots', 'linked_users',
            'confirmed', 'confirmations', 'conversion_rate', 'value'],
};

const csvText = (by, list) => '\ufeff' + [CSV_COLUMNS[by], ...list.map((item) =>
    CSV_COLUMNS[by].map((key) => csvField(item[key])))]
    .map((fields) => `${fields.join(',')}\r\n`).join('');

const CSV_PAGE = 5000;

// All that is found.  What takes several pages is sorted by name, as numbers
// change meanwhile.

async function fetchAll(progress) {
    const { by } = wanted;
    const key = by === 'link' ? 'identifier' : 'user_id';
    const few = shown && shown.report.total <= CSV_PAGE;
    const found = new Map();

    for (let page = 1, total = 1; (page - 1) * CSV_PAGE < total; page++) {
        const query = reportQuery({
            part: 'rows', size: CSV_PAGE, page,
            ...(few ? {} : { sort: key, order: 'asc' }) });
        const answer = await fetchPage(query);

        (answer.links || answer.owners).forEach((item) =>
            found.set(item[key], item));
        total = answer.total;
        progress(Math.min(1, page * CSV_PAGE / total));
    }

    return csvText(by, [...found.values()]);
}

async function fetchPage(query) {
    for (let tries = 30; ; tries--) {
        const response = await fetch(`?report&${query}`,
                                     { cache: 'no-store' });
        const answer = parsed(await response.text());

        if (response.ok) {
            return answer;
        }

        if (response.status !== 503 || tries === 0) {
            throw new Error(answer?.message ?? `HTTP ${response.status}`);
        }

        await new Promise((done) => { setTimeout(done, REPORT_SOON); });
    }
}

async function download() {
    const button = get('report-csv');
    const { by, from, until } = wanted;

    button.disabled = true;

    try {
        const text = await fetchAll((part) => {
            button.textContent = percent(part);
        });
        const url = URL.createObjectURL(new Blob([text], {
            type: 'text/csv;charset=utf-8' }));
        const name = ['hype', `${by}s`, from, until || dated(new Date())]
            .filter(Boolean).join('-');

        const link = add(document.body, 'a', { href: url, class: 'hidden',
                                               download: `${name}.csv` });
        link.click();
        link.remove();
        setTimeout(() => URL.revokeObjectURL(url), 60000);

    } catch (error) {
        showProblem({ problem: 'csv', message: `There is no CSV: ${
            error.message}.` }, shown?.key);
    }

    button.textContent = 'CSV';
    button.disabled = false;
}

function listenToList() {
    let timer;

    get('report-by').addEventListener('change', ({ target }) => want({
        by: target.value, sort: 'hits', order: 'desc' }));

    get('report-search').addEventListener('input', ({ target }) => {
        clearTimeout(timer);
        timer = setTimeout(() => want({ search: target.value.trim() }), 300);
    });

    get('report-sort').addEventListener('change', ({ target }) => want({
        sort: target.value, order: usually(target.value) }));
    get('report-order').addEventListener('click', () => want({
        order: other(wanted.order) }));

    get('report-links').addEventListener('click', ({ target }) => {
        const { sort } = target.closest('.sort')?.dataset ?? {};
        const button = target.closest('.copy');

        if (button) {
            copy(button.dataset.path, button);

        } else if (sort) {
            want({ sort, order: sort === wanted.sort ? other(wanted.order)
                : usually(sort) });
        }
    });

    get('report-back').addEventListener('click', () => want({
        page: wanted.page - 1 }));
    get('report-on').addEventListener('click', () => want({
        page: wanted.page + 1 }));
    get('report-csv').addEventListener('click', download);
}
