'use strict';

// The status page: asks "?json" once a second and draws what it got.  All files
// here of a kind are served as one.

const INTERVAL = 1000;
const TIMEOUT = 5000;

// Tabs, range, pause

const scrolled = {};            // how far each was when it was left

function openTab(chosen) {
    const left = get('live').hidden ? 'reports' : 'live';
    scrolled[left] = scrollY;

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
    openReports(chosen === 'reports');

    if (left !== chosen) {
        scrollTo(0, scrolled[chosen] ?? 0);
    }
}

function choose(id) {
    history.replaceState(null, '', id === 'reports' ? reportHash()
                         : location.pathname + location.search);
    openTab(id);
    get(`tab-${id}`).focus({ preventScroll: true });
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
    return fetch(url, { cache: 'no-store',
                        signal: AbortSignal.timeout(TIMEOUT) });
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


function start() {
    makeCharts();
    makeReports();
    listenToReports();
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
}

document.addEventListener('DOMContentLoaded', start);
