'use strict';

// How values are written, and what puts them into the document: as text only,
// because identifiers and labels are anyone's.

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

// Of money or the like; a sum may be no number.

const worth = (value) => typeof value !== 'number' ? '\u2013'
    : digits[Number.isInteger(value) ? 0 : 2](value);

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
const month = times({ month: 'short', year: 'numeric', timeZone: 'UTC' });
const hour = times({ weekday: 'short', day: 'numeric', month: 'short',
                     hour: '2-digit', minute: '2-digit' });


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

// On a small screen a row is a block, whose cells say what they are.

function labels(row, table) {
    [...row.cells].forEach((cell, i) => {
        cell.dataset.label = table.tHead.rows[0].cells[i].textContent;
    });
}

// Text of others: what it does to the direction of text stays in it.

function named(parent, text, missing = '(none)') {
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

// Pages that did not come by https have no clipboard.

async function copy(text, button, time = 1500) {
    try {
        await navigator.clipboard.writeText(text);

    } catch {
        const field = add(document.body, 'textarea', { class: 'hidden' });

        field.value = text;
        field.focus();
        field.select();
        document.execCommand('copy');
        field.remove();
        button.focus();
    }

    button.classList.add('done');
    setTimeout(() => button.classList.remove('done'), time);
}
