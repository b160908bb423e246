'use strict';

// The page of the owner of links: the numbers are in the page, and are asked
// for again ("?json") now and then, while somebody looks.

const INTERVAL = 60000;
const RETRY = 5000;
const TIMEOUT = 10000;

let days;                       // the chart
let shown = null;               // what is there
let timer;

const dated = times({ day: 'numeric', month: 'short', year: 'numeric' });

// An amount of money or points

const amount = (sum) => new Intl.NumberFormat('en', {
    minimumFractionDigits: Number.isInteger(sum) ? 0 : 2,
    maximumFractionDigits: 6 }).format(sum);


// Copying and sharing

async function copyLink(url, button) {
    await copy(url, button, 2500);
    put('note', 'The link is copied.');
    setTimeout(() => put('note', ''), 2500);
}

function share(url) {
    // whoever closes the dialogue has changed their mind
    navigator.share({ url }).catch(() => {});
}

// A URL without a host is of the site that this page came from.

const whole = (url) => new URL(url, location.href).href;

const state = ({ disabled, expired }) =>
    disabled ? 'disabled' : expired ? 'expired' : '';


// Drawing

function renderMain(link) {
    get('main-link').classList.toggle('off', !!link && state(link) !== '');
    get('main-url').hidden = get('main-copy').hidden = !link;
    get('main-share').hidden = !link || !navigator.share;

    if (!link) {
        put('main-label', '');
        put('main-more', 'You have no link yet.');
        return;
    }

    get('main-url').value = whole(link.url);
    named(get('main-label'), link.label, '');

    const off = state(link);

    put('main-more', off ? `It is ${off}: it counts nobody any more.`
        : 'Share it: whoever follows it counts for you.'
          + (link.expires
             ? ` It works until ${dated(Date.parse(link.expires) / 1000)}.`
             : ''));
}

function renderTotals({ hits, visitors, confirmed, confirmations, value }) {
    put('hits', count(hits));
    put('visitors', count(visitors));
    put('confirmed', count(confirmed));
    put('confirmed-more', confirmations > confirmed
        ? `${count(confirmations)} events`
        : visitors ? `${percent(confirmed / visitors)} of the visitors` : '');

    get('value-tile').hidden = value === null;
    put('value', worth(value));
}

function renderRewards(rewards) {
    get('rewards-none').hidden = rewards.length > 0;

    rows(get('rewards'), rewards, (list) => {
        const item = add(list, 'li');
        const data = add(item, 'dl');

        add(item, 'h3');
        item.prepend(item.lastChild);

        for (const name of ['Available', 'Pending', 'Paid']) {
            add(data, 'dt', {}, name);
            add(data, 'dd', { class: name.toLowerCase() });
        }

        return item;
    }, (item, { currency, ...sums }) => {
        named(item.firstChild, currency);

        for (const [name, sum] of Object.entries(sums)) {
            const node = item.querySelector(`.${name}`);

            node.textContent = amount(sum);
            node.classList.toggle('owed', sum < 0);
        }
    });
}

function renderDays(list) {
    days.show(list.map(({ day: date, hits, visitors }) => ({
        time: Date.parse(`${date}T12:00Z`) / 1000,
        values: [hits, visitors] })));
}

function makeRow(body) {
    const row = add(body, 'tr');
    const name = add(add(row, 'td'), 'div', { class: 'name' });

    add(name, 'span', { class: 'url' });
    add(name, 'small');
    add(name, 'span', { class: 'badge' });

    const button = add(name, 'button', { type: 'button', class: 'copy' },
                       'Copy');

    button.addEventListener('click', () => copyLink(row.dataset.url, button));

    return row;
}

function renderLinks(links, all) {
    const table = get('links');

    get('links-card').hidden = links.length < 2;
    put('links-more', all > links.length
        ? `${count(links.length)} of ${count(all)}` : count(all));

    rows(table.tBodies[0], links, makeRow, (row, link) => {
        const [url, label, badge, button] = row.querySelector('.name').children;

        row.dataset.url = whole(link.url);
        row.classList.toggle('off', state(link) !== '');
        url.textContent = link.identifier;
        named(label, link.label, '');
        label.hidden = !link.label;
        badge.textContent = state(link);
        badge.hidden = state(link) === '';
        button.setAttribute('aria-label', `Copy ${link.identifier}`);

        [count(link.hits), count(link.visitors), count(link.confirmed),
         worth(link.value), dated(Date.parse(link.created) / 1000)]
            .forEach((text, i) => {
                (row.cells[i + 1] || add(row, 'td')).textContent = text;
            });

        labels(row, table);
    });
}

function render(data) {
    shown = data;
    renderMain(data.links[0]);
    renderTotals(data.totals);
    renderRewards(data.rewards);
    renderLinks(data.links, data.totals.links);
    renderDays(data.days);
}


// What can't be had: what is there stays, and is asked for again.

function renderProblem(problem) {
    get('banner').hidden = !problem;

    for (const id of ['main-link', 'tiles', 'cards']) {
        get(id).hidden = !shown;
    }

    if (problem) {
        put('verdict', shown ? 'The numbers are not up to date.'
            : 'Your links can\u2019t be shown right now.');
        put('verdict-more', problem);
    }
}

function take(data) {
    if (data.problem) {
        renderProblem('The page tries again by itself.');
        return RETRY;
    }

    render(data);
    renderProblem(null);

    return INTERVAL;
}

async function ask() {
    clearTimeout(timer);

    let wait = RETRY;

    try {
        const response = await fetch('?json', {
            cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT) });

        if (response.status === 403) {

            // logged out, or somebody else by now

            location.reload();
            return;
        }

        const data = await response.json();

        if (shown && data.user && data.user !== shown.user) {
            location.reload();
            return;
        }

        wait = take(data);

    } catch {
        renderProblem('The page tries again by itself.');
    }

    later(wait);
}

function later(wait) {
    clearTimeout(timer);

    if (!document.hidden) {
        timer = setTimeout(ask, wait);
    }
}

function start() {
    const button = get('main-copy');

    days = new Bars(get('cards'), 'Last 30 days', 'days of UTC', [
        { name: 'Hits', color: 'blue' },
        { name: 'Visitors', color: 'teal', apart: true },
    ], { size: 'two-thirds', height: 190, format: count, whole: true });

    get('cards').prepend(days.card);

    button.addEventListener('click', () => copyLink(get('main-url').value, button));
    get('main-share').addEventListener('click', () =>
        share(get('main-url').value));
    get('main-url').addEventListener('focus', (event) =>
        event.target.select());

    document.addEventListener('visibilitychange', () =>
        document.hidden ? clearTimeout(timer) : ask());

    get('main').hidden = false;
    later(take(JSON.parse(get('data').textContent)));
}

document.addEventListener('DOMContentLoaded', start);
