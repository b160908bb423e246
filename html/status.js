'use strict';

async function show() {
    const answer = await fetch('?json');

    document.getElementById('json').textContent = await answer.text();
}

show();
setInterval(show, 2000);
